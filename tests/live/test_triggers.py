"""The site's programs as real processes: a storm of events, a program that hangs, what it may take of the machine."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from holdfast.cluster.plan.triggers import Firing
from holdfast.cluster.service import triggers
from holdfast.cluster.service.triggers import AT_ONCE, QUEUE_LIMIT, Triggers


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


async def until(check: object, limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not check():  # type: ignore[operator]
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def test_a_storm_runs_few_at_once_and_drops_what_is_too_much(tmp_path: Path) -> None:
    counted = f"ls -d {tmp_path}/now-* | wc -l >> {tmp_path}/counts"
    program(tmp_path / "t/resfault", f"mkdir {tmp_path}/now-$3; {counted}; sleep 0.02; rmdir {tmp_path}/now-$3")
    log: list[str] = []

    async def storm() -> None:
        made = Triggers(tmp_path / "t", {}, lambda _level, text: log.append(text))
        made.fire(Firing("resfault", ("0", "s1", f"r{number}", "ONLINE")) for number in range(QUEUE_LIMIT + 50))
        serving = asyncio.create_task(made.run())
        await until(lambda: sum("ended with 0" in line for line in log) == QUEUE_LIMIT)
        serving.cancel()
        await asyncio.wait([serving])

    asyncio.run(storm())
    counts = [int(line) for line in (tmp_path / "counts").read_text().split()]
    assert len(counts) == QUEUE_LIMIT
    assert max(counts) <= AT_ONCE
    assert any("50 triggers were dropped" in line for line in log)


def test_a_program_that_hangs_is_killed_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "TIMEOUT_S", 0.5)
    program(tmp_path / "t/resfault.d/10-hangs", f"trap '' TERM; sleep 300 & echo $! > {tmp_path}/child; wait")
    program(tmp_path / "t/resfault.d/20-next", f"yes | head -c 100000; echo done > {tmp_path}/next")
    log: list[str] = []

    async def hang() -> None:
        made = Triggers(tmp_path / "t", {}, lambda _level, text: log.append(text))
        made.fire([Firing("resfault", ("0", "s1", "r", "ONLINE"))])
        serving = asyncio.create_task(made.run())
        await until(lambda: any("20-next" in line for line in log))
        serving.cancel()
        await asyncio.wait([serving])

    asyncio.run(hang())
    assert (tmp_path / "next").read_text() == "done\n"
    assert any("10-hangs ran out of time" in line for line in log)
    child = int((tmp_path / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    assert max(len(line) for line in log) < 20000, "a flood of output is cut"


def test_preonline_must_exit_with_0(tmp_path: Path) -> None:
    program(tmp_path / "preonline", 'test "$3" = web')

    async def ask(group: str) -> str:
        return await Triggers(tmp_path, {}, lambda _level, _text: None).agree(Firing("preonline", ("0", "s1", group)))

    assert asyncio.run(ask("web")) == ""
    assert "ended with 1" in asyncio.run(ask("db"))
