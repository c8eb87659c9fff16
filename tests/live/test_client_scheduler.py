"""The client's scheduler against a real server: polling, prompted, commands around an event, results, interruptions."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab
import dsmc_lab
from dsmc_lab import DsmcLab

from holdfast.app.main import main
from holdfast.dialects.tsm.language import read_command


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DsmcLab]:
    with dsmc_lab.opened(tmp_path_factory.mktemp("scheduler")) as desk:
        desk.admin("set randomize 0")
        yield desk


@pytest.fixture
def made(desk: DsmcLab, tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Make a node with scheduler options; return its option file and its schedule log."""
    desk.fs = tmp_path / "VCS"
    desk.fs.mkdir()
    desk.write(file="content")
    desk.rules = tmp_path / "inclexcl"
    desk.rules.write_text("")

    def make(extra: str = "") -> tuple[Path, Path]:
        log = tmp_path / "dsmsched.log"
        return desk.node(extra=f"  SCHEDLOGNAME {log}\n{extra}"), log

    return make


SLOW_S = 300 + os.getpid() / 1e7
"""Tells the sleepers of this run from all others."""
Made = Callable[..., tuple[Path, Path]]


def plan(desk: DsmcLab, opt: Path, name: str, **words: str) -> None:
    """Define a schedule whose window is open now, and associate the node."""
    now = datetime.datetime.now() - datetime.timedelta(minutes=2)
    options = " ".join(f'{key}="{value}"' for key, value in words.items())
    window = f"startdate={now:%m/%d/%Y} starttime={now:%H:%M} duration=2 durunits=hours"
    desk.admin(f"define schedule standard {name} {window} {options}")
    desk.admin(f"define association standard {name} {opt.parent.name}")


def once(opt: Path) -> float:
    """One round, as dsmcad starts it; return the seconds until the next."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "holdfast.app.main", "dsmc", "schedule", f"-optfile={opt}", "-once"]
    with subprocess.Popen([*command, f"-reportto={writer}"], pass_fds=(writer,)) as process:
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.read().split()
        assert process.wait(60) == 0
    return float(said[0])


def event(desk: DsmcLab, opt: Path, name: str) -> str:
    """The status of today's event of a node."""
    request = read_command(f"query event standard {name} nodes={opt.parent.name}")
    reply = desk.lab.servers["DELHI"].run(request.operation, **request.args)
    return reply.rows[-1][-1] if reply.rows else ""


def until(check: Callable[[], object], limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not check():
        assert time.monotonic() < end, "not reached"
        time.sleep(0.05)


def test_an_event_runs_is_logged_and_reported(desk: DsmcLab, made: Made) -> None:
    opt, log = made('  POSTSchedulecmd "echo after > @"\n'.replace("@", str(desk.fs / "after")))
    plan(desk, opt, "NIGHTLY", action="INCREMENTAL", options="-subdir=yes")
    assert 80_000 > once(opt) > 60, "the next window is tomorrow's, the query period is shorter"
    assert event(desk, opt, "NIGHTLY") == "Completed"
    text = log.read_text()
    for part in (
        "--- SCHEDULEREC QUERY BEGIN",
        "Schedule Name:         NIGHTLY",
        "Executing scheduled command now.",
        "--- SCHEDULEREC OBJECT BEGIN NIGHTLY",
        "--- SCHEDULEREC STATUS BEGIN",
        "Total number of objects backed up:                2",
        "--- SCHEDULEREC STATUS END",
        "--- SCHEDULEREC OBJECT END NIGHTLY",
        "Scheduled event 'NIGHTLY' completed successfully.",
        "Results sent to server for scheduled event 'NIGHTLY'.",
    ):
        assert part in text
    assert all(datetime.datetime.strptime(line[:19], "%m/%d/%Y %H:%M:%S") for line in text.splitlines())
    assert (desk.fs / "after").read_text() == "after\n"


def test_failures_commands_and_what_is_switched_off(desk: DsmcLab, made: Made) -> None:
    opt, log = made('  PRESchedulecmd "test -e /nonexistent"\n')
    plan(desk, opt, "NOTREADY", action="INCREMENTAL")
    once(opt)
    assert event(desk, opt, "NOTREADY") == "Failed"
    assert "ANS1902E" in log.read_text()
    assert "ANS1512E Scheduled event 'NOTREADY' failed.  Return code = 12." in log.read_text()
    other = desk.node(extra=f"  SCHEDLOGNAME {log}\n")
    plan(desk, other, "COMMAND4", action="COMMAND", objects="echo said; exit 4")
    once(other)
    assert event(desk, other, "COMMAND4") == "Failed", "a command is complete only with 0"
    assert " said\n" in log.read_text()
    third = desk.node(extra=f"  SCHEDLOGNAME {log}\n  SCHEDCMDDisabled yes\n")
    plan(desk, third, "OFF", action="COMMAND", objects="touch @".replace("@", str(desk.fs / "done")))
    once(third)
    assert event(desk, third, "OFF") == "Failed"
    assert "SCHEDCMDDISABLED" in log.read_text()
    assert not (desk.fs / "done").exists()


def test_other_actions_take_their_objects_and_options(desk: DsmcLab, made: Made, tmp_path: Path) -> None:
    opt, log = made()
    plan(desk, opt, "KEEP", action="ARCHIVE", objects=f"'{desk.fs}/*'", options="-subdir=yes -desc=scheduled")
    once(opt)
    assert event(desk, opt, "KEEP") == "Completed"
    assert "scheduled" in desk.run(opt, "q", "ar", f"{desk.fs}/*").out
    plan(desk, opt, "BACK", action="RETRIEVE", objects=f"{desk.fs}/file {tmp_path}/back/", priority="1")
    once(opt)
    assert (tmp_path / "back" / "file").read_text() == "content"
    assert "Total number of objects retrieved:" in log.read_text()


def test_old_records_are_pruned_or_moved_aside(desk: DsmcLab, made: Made) -> None:
    opt, log = made("  SCHEDLOGRetention 7 S\n")
    log.write_text("01/02/2020 10:00:00 old\n     goes on\n12/31/2099 10:00:00 new\n")
    plan(desk, opt, "PRUNE", action="INCREMENTAL")
    once(opt)
    assert " old\n" not in log.read_text()
    assert log.read_text().startswith("12/31/2099 10:00:00 new\n")
    assert "ANS1484I" in log.read_text()
    assert log.with_suffix(".pru").read_text() == "01/02/2020 10:00:00 old\n     goes on\n"


def shown(pid: int) -> str:
    """A process's command line; nothing for one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def daemons(line: str) -> list[int]:
    """Processes that show this command line."""
    return [pid for pid in every() if shown(pid) == line]


def every() -> list[int]:
    """All processes."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


@pytest.fixture
def cad(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Start ``dsmcad.vcs`` by a link of that name, as the how-to says; end it."""
    link = tmp_path / "bin" / "dsmcad.vcs"
    link.parent.mkdir()
    link.symlink_to(Path(sys.executable).with_name("holdfast"))
    started: list[int] = []

    def start(opt: Path) -> int:
        subprocess.run([str(link), f"-optfile={opt}"], check=True, timeout=30)
        (pid,) = daemons(f"{link} -optfile={opt}")
        started.append(pid)
        return pid

    yield start
    for pid in {*started, *(pid for pid in every() if shown(pid).startswith(str(link)))}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_dsmcad_shows_its_name_runs_events_and_ends_with_what_it_started(
    desk: DsmcLab, made: Made, cad: Callable[..., int], tmp_path: Path
) -> None:
    opt, log = made(
        f'  MANAGEDServices schedule webclient\n  PRESchedulecmd "touch {tmp_path}/began; sleep {SLOW_S}"\n'
    )
    plan(desk, opt, "SLOW", action="INCREMENTAL")
    first = cad(opt)
    until((tmp_path / "began").exists)
    until(lambda: event(desk, opt, "SLOW") == "Started")
    workers = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    os.kill(first, signal.SIGTERM)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (first, *workers)))
    until(lambda: not daemons(f"sleep {SLOW_S}"))  # what the event ran ends with it
    assert event(desk, opt, "SLOW") == "Started", "nothing was reported: the next one runs it again"
    stanza = opt.parent / "dsm.sys"
    stanza.write_text(stanza.read_text().replace(f"; sleep {SLOW_S}", ""))
    cad(opt)
    until(lambda: event(desk, opt, "SLOW") == "Completed")
    actlog = " ".join(row[-1] for row in desk.admin("query actlog search=SLOW").rows)
    assert "ANR2507I" in actlog
    assert log.read_text().count("--- SCHEDULEREC OBJECT BEGIN SLOW") == 2


def test_dsmcad_is_prompted(desk: DsmcLab, made: Made, cad: Callable[..., int]) -> None:
    port = backup_lab.free_port()
    opt, log = made(f"  SCHEDMODe prompted\n  TCPCLIENTAddress 127.0.0.1\n  TCPCLIENTPort {port}\n")
    cad(opt)
    until(lambda: log.exists() and "no schedules" in log.read_text())
    plan(desk, opt, "NOW", action="INCREMENTAL")
    until(lambda: event(desk, opt, "NOW") == "Completed")


def test_dsmcad_says_at_once_what_is_wrong(desk: DsmcLab, made: Made, tmp_path: Path) -> None:
    opt, _ = made("  SCHEDMODe sometimes\n")
    command = [sys.executable, "-m", "holdfast.app.main", "dsmcad", f"-optfile={opt}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 12
    assert "SCHEDMODE" in done.stderr


def test_the_init_script_starts_stops_and_tells(
    desk: DsmcLab, made: Made, cad: Callable[..., int], tmp_path: Path
) -> None:
    opt, _ = made()
    link = tmp_path / "bin" / "dsmcad.vcs"
    words = ["dialect", "service", "dsmcad.vcs", "--program", str(link), "--optfile", str(opt), "--into"]
    assert main(["holdfast", *words, str(tmp_path)]) == 0
    assert main(["holdfast", *words, str(tmp_path)]) == 0, "its own file is made again"
    script = tmp_path / "dsmcad.vcs"

    def service(*verbs: str) -> tuple[int, str]:
        done = subprocess.run([str(script), *verbs], capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    assert service("status")[0] == 3
    assert service("start", "VCS_Cluster") == (0, "dsmcad.vcs started\n")
    (pid,) = daemons(f"{link} -optfile={opt}")
    assert service("start")[1] == f"dsmcad.vcs runs already ({pid})\n"
    assert service("status") == (0, f"dsmcad.vcs runs ({pid})\n")
    assert service("restart")[0] == 0
    (again,) = daemons(f"{link} -optfile={opt}")
    assert again != pid
    assert service("stop", "VCS_Cluster") == (0, "dsmcad.vcs stopped\n")
    assert daemons(f"{link} -optfile={opt}") == []
    assert service("frobnicate")[0] == 2
    script.write_text("#!/bin/sh\nsomebody else's\n")
    assert main(["holdfast", *words, str(tmp_path)]) == 1
    assert script.read_text().endswith("somebody else's\n")


def test_query_schedule_shows_what_comes(desk: DsmcLab, made: Made) -> None:
    opt, _ = made()
    assert "ANS1816I" in desk.run(opt, "q", "sched").err
    plan(desk, opt, "SHOWN", action="SELECTIVE", objects=f"{desk.fs}/file", description="a file")
    shown = desk.run(opt, "q", "sched").out
    assert "       Schedule Name: SHOWN\n" in shown
    assert "              Action: Selective\n" in shown
    assert f"             Objects: {desk.fs}/file\n" in shown
