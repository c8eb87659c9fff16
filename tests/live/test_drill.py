"""The drill as a user runs it: it passes in both modes, fails with every part broken, and leaves nothing behind.

A drill that cannot fail proves nothing, so each sabotage must be noticed in the step that the table names for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.lab.sabotage import WAYS

HOLDFAST = str(Path(sys.executable).with_name("holdfast"))
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
TIME_LIMIT_S = 600
NOBODY = 65534
MODES = [pytest.param("root", marks=ROOT_ONLY), "user"]
EVERY_STEP = [
    "boot", "protect", "snapshot", "backup", "vault", "switch", "disaster", "recover", "failback", "trouble", "cleanup",
]  # fmt: skip


def drill(*arguments: str, place: Path | None = None) -> dict[str, Any]:
    done = subprocess.run(
        [HOLDFAST, "drill", "--json", *arguments],
        capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False, env=environment(place),
    )  # fmt: skip
    assert done.stdout.count("\n") == 1, f"one object and nothing else: {done.stdout!r} {done.stderr[-2000:]}"
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["verdict"] == "pass" else 1)
    assert isinstance(report, dict)
    return report


def environment(place: Path | None) -> dict[str, str]:
    return dict(os.environ) if place is None else {**os.environ, "TMPDIR": str(place)}


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory for one drill's files, by whose name all that it leaves can be told from others' things."""
    directory = Path(tempfile.mkdtemp(prefix="hf-"))
    yield directory
    shutil.rmtree(directory)


def leftovers(place: Path) -> set[str]:
    """What a drill might leave on the machine: loop devices, mounts, processes, files."""
    found = {path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file") if path.exists()}
    found |= {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes() + b" " + (process / "environ").read_bytes()
            found.add(words.replace(b"\0", b" ").decode(errors="replace"))
    return {one for one in found if str(place) in one} | {str(path) for path in place.iterdir()}


PASSES = [
    pytest.param("root", "embedded", marks=ROOT_ONLY),
    ("user", "embedded"),
    pytest.param("root", "etcd", marks=ROOT_ONLY),
]


@pytest.mark.parametrize(("mode", "store"), PASSES)
def test_the_drill_passes_and_leaves_nothing(mode: str, store: str, place: Path) -> None:
    report = drill("--mode", mode, "--store", store, place=place)
    assert report["verdict"] == "pass", report["failure"]
    assert report["mode"] == mode
    assert [step["name"] for step in report["steps"]] == EVERY_STEP
    assert all(step["ok"] for step in report["steps"])
    assert report["lost_writes"] == 0
    assert report["acknowledged_writes"] >= 500
    assert report["restore"]["differences"] == 0
    assert report["restore"]["objects"] > 200
    assert 0 < report["flash_resync"]["tracks_copied"] < report["flash_resync"]["tracks_total"]
    assert 0 < report["failback"]["tracks_copied"] < report["failback"]["tracks_total"]
    assert report["backup"]["second_run_objects"] < report["backup"]["objects"] // 4
    assert report["reconcile"] == {"found": 4, "settled": 4}
    assert [(case["outcome"], case["lost_writes"]) for case in report["trouble"]] == [
        ("refused", 0), ("takeover", 0), ("takeover", 0)
    ]  # fmt: skip
    assert 0 < report["switch_seconds"] < 30
    assert 0 < report["failover_seconds"] < 40
    assert bool(report["skipped"]) is (mode == "user")
    assert leftovers(place) == set()


def as_nobody(*argv: str) -> list[str]:
    """Return a command line that runs another as a user without any right. The inner exec is already unprivileged."""
    setpriv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    return [*setpriv, "sh", "-c", 'exec "$@"', "sh", *argv]


@pytest.fixture
def holdfast_for_others() -> Iterator[str]:
    """A ``holdfast`` that everybody may run: this checkout and its packages under a public interpreter."""
    import holdfast

    home = Path(tempfile.mkdtemp(prefix="holdfast-others-"))
    home.chmod(0o755)
    packages = [str(Path(holdfast.__file__).parents[1]), sysconfig.get_path("purelib")]
    try:
        for base in (sys.executable, "/usr/bin/python3"):
            shutil.rmtree(home / "venv", ignore_errors=True)
            subprocess.run([base, "-m", "venv", "--without-pip", str(home / "venv")], check=False, capture_output=True)
            python = home / "venv" / "bin" / "python"
            for site in home.glob("venv/lib/python3.*/site-packages"):
                (site / "holdfast.pth").write_text("\n".join(packages) + "\n")
            program = home / "venv" / "bin" / "holdfast"
            program.write_text(f"#!{python}\nimport sys\nfrom holdfast.app.main import main\nsys.exit(main())\n")
            program.chmod(0o755)
            if subprocess.run(as_nobody(str(program), "--version"), check=False, capture_output=True).returncode == 0:
                yield str(program)
                return
        pytest.skip("no interpreter here, or not this checkout, can be read by other users")
    finally:
        shutil.rmtree(home)


@ROOT_ONLY
def test_an_ordinary_user_can_drill(holdfast_for_others: str) -> None:
    argv = as_nobody(holdfast_for_others, "drill", "--json")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False, cwd="/")
    report = json.loads(done.stdout)
    assert report["verdict"] == "pass", report["failure"]
    assert report["mode"] == "user"


SABOTAGES = [
    *(pytest.param("user", name, id=f"{name}-user") for name in sorted(WAYS) if not WAYS[name].root_only),
    *(pytest.param("root", name, id=f"{name}-root", marks=ROOT_ONLY) for name in ("bit-dropped", "guard-late")),
]


@pytest.mark.parametrize(("mode", "name"), SABOTAGES)
def test_the_drill_notices_sabotage(mode: str, name: str, place: Path) -> None:
    report = drill("--mode", mode, "--sabotage", name, place=place)
    assert report["verdict"] == "fail"
    assert report["failure"]["step"] in WAYS[name].noticed_in, report["failure"]
    assert report["failure"]["expected"].startswith(WAYS[name].insisted), report["failure"]
    assert report["failure"]["seen"]
    assert leftovers(place) == set()


INTERRUPTIONS = [
    *(pytest.param(mode, moment, signal.SIGINT, id=f"{mode}-{moment}")
      for mode in ("root", "user") for moment in (1.0, 6.0, "kit")),
    pytest.param("root", "DELHI-2/recovered", signal.SIGTERM, id="root-terminated"),
    pytest.param("user", 8.0, signal.SIGHUP, id="user-terminal-closed"),
]  # fmt: skip
"""When: after so many seconds, or as soon as there is this file in the lab's directory."""
STEPS_OF = {"kit": ("vault", "switch"), "DELHI-2/recovered": ("recover", "failback")}
"""The step that makes the file, and the next, where the signal may arrive."""


@pytest.mark.parametrize(("mode", "moment", "number"), INTERRUPTIONS)
def test_an_interrupted_drill_leaves_nothing(
    mode: str, moment: float | str, number: signal.Signals, place: Path
) -> None:
    if mode == "root" and os.geteuid() != 0:
        pytest.skip("needs root")
    report, code = interrupted(mode, moment, number, place)
    assert code == 130
    assert report["verdict"] == "fail"
    if moment != 1.0:
        plausible = EVERY_STEP if isinstance(moment, float) else STEPS_OF[moment]
        assert report["failure"]["step"] in plausible, "it says in which step it was"
        assert report["steps"][-2]["name"] == report["failure"]["step"]
        assert not report["steps"][-2]["ok"]


def interrupted(mode: str, moment: float | str, number: signal.Signals, place: Path) -> tuple[dict[str, Any], int]:
    """Start a drill as a script's ``&`` would, where SIGINT is ignored; interrupt it; return its report and code."""
    command = [HOLDFAST, "drill", "--json", "--mode", mode]
    ignored = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    running = subprocess.Popen(ignored, stdout=subprocess.PIPE, text=True, env=environment(place))
    if isinstance(moment, str):
        await_file(running, place, moment)
    else:
        time.sleep(moment)
    assert leftovers(place), "the look finds a lab that runs"
    running.send_signal(number)
    output, _ = running.communicate(timeout=60)
    assert leftovers(place) == set()
    return json.loads(output), running.returncode


def await_file(running: subprocess.Popen[str], place: Path, name: str) -> None:
    """Wait until the drill that runs has made a file of this name, whatever its speed."""
    end = time.monotonic() + TIME_LIMIT_S
    while not list(place.glob(f"*/{name}")):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
