"""Wide-area heartbeats that really ask: an ICMP echo over loopback, and a program of the site."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from holdfast.cluster.model.configuration import Values
from holdfast.cluster.model.widearea import Pulse
from holdfast.cluster.service.widebeat import WideBeat, echo, together


def test_an_icmp_echo_is_answered_by_this_machine() -> None:
    async def ask() -> bool:
        async with asyncio.timeout(10.0):
            return await echo("127.0.0.9")

    try:
        assert asyncio.run(ask())
    except PermissionError:
        pytest.skip("ICMP sockets need root, or ping_group_range")


def test_a_program_is_asked_and_its_heartbeat_is_lost_after_the_limit_only(tmp_path: Path) -> None:
    program = tmp_path / "sign"
    program.write_text(f"#!/bin/sh\necho $* >> {tmp_path}/asked\ntest -e {tmp_path}/lives\n")
    program.chmod(0o755)
    (tmp_path / "lives").touch()
    values = {"AgentFile": str(program), "Arguments": ("x",), "AYAInterval": 0, "AYATimeout": 5, "AYARetryLimit": 3}

    async def run() -> None:
        beat = WideBeat("Sign", Values(values), "west", "10.0.0.1")
        assert together([beat]) is Pulse.ALIVE, "not asked yet is not lost"
        task = asyncio.create_task(beat.run())
        async with asyncio.timeout(20):
            while beat.alive is None:
                await asyncio.sleep(0.01)
            (tmp_path / "lives").unlink()
            while beat.alive:
                await asyncio.sleep(0.01)
        task.cancel()
        assert together([beat]) is Pulse.LOST
        assert together([beat, WideBeat("Icmp", Values(), "west", "")]) is Pulse.ALIVE, "one that may live is enough"

    asyncio.run(run())
    asked = (tmp_path / "asked").read_text().splitlines()
    assert set(asked) == {"west x"}
    assert len(asked) >= 4, "three failures in a row, after one that was answered"
