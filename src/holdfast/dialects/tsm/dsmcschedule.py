"""``dsmc schedule``: the scheduler in this process, and what an event's action means as a command.

With ``-once`` one round is made and the seconds to wait are reported to whoever started it, which is how ``dsmcad``
works: it stays small, and an event that goes wrong takes only its own process along.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType

from holdfast.backup.service.client.login import Login
from holdfast.backup.service.client.options import ClientOptions
from holdfast.backup.service.client.prompts import Prompts
from holdfast.backup.service.client.schedulelog import StampedLines
from holdfast.backup.service.client.scheduler import Scheduler, schedule_log
from holdfast.backup.session import messages as m
from holdfast.dialects.tsm.dsmcdesk import Desk, optfile_of, overruled
from holdfast.dialects.tsm.dsmcverbs import verb
from holdfast.dialects.tsm.dsmcwords import Arguments, read_arguments
from holdfast.kernel.errors import InputError
from holdfast.runtime.ownprocess import end_with_parent
from holdfast.runtime.textfile import read_text

_VERBS = {
    "INCREMENTAL": "incremental",
    "BACKUP": "incremental",
    "SELECTIVE": "selective",
    "ARCHIVE": "archive",
    "RESTORE": "restore",
    "RETRIEVE": "retrieve",
}


def schedule(read: Arguments, options: ClientOptions) -> int:
    """DSMC SCHEDULE: until it is told to end; with ONCE a single round."""
    optfile = optfile_of(read)
    login = Login.of(options, str(optfile), read.options.get("VIRTUALNODENAME", ""))
    log = schedule_log(options)

    def perform(row: m.ScheduleRow, into: StampedLines) -> int:
        return _perform(row, into, read, options, optfile)

    signal.signal(signal.SIGTERM, _end)
    if read.has("ONCE"):
        end_with_parent()
        address = read.options.get("PROMPTADDRESS", "")
        done = Scheduler(login, options, log, perform, address).step()
        os.write(int(read.options["REPORTTO"]), f"{done.wait_s:.3f} {done.mode}\n".encode())
        return 0
    with Prompts.of(options, login) as prompts:
        scheduler = Scheduler(login, options, log, perform, prompts.address)
        while True:
            done = scheduler.step()
            prompts.wait(done.wait_s)


def _end(_number: int, _frame: FrameType | None) -> None:
    """End in good order: a command that an event runs ends too, and the event stays open for the next scheduler."""
    sys.exit(0)


def _perform(row: m.ScheduleRow, into: StampedLines, read: Arguments, options: ClientOptions, optfile: Path) -> int:
    """Carry an event out as the command that its action, options and objects make."""
    node = {name: value for name, value in read.options.items() if name == "VIRTUALNODENAME"}
    if row.action == "MACRO":
        return max((_command(words, node, into, options, optfile) for words in _macro(row.objects)), default=0)
    if row.action not in _VERBS:
        raise InputError(f"the action {row.action} is not carried out by this client", remedy=", ".join(_VERBS))
    words = [_VERBS[row.action], *shlex.split(row.objects), *shlex.split(row.options)]
    return _command(words, node, into, options, optfile)


def _macro(name: str) -> list[list[str]]:
    lines = read_text(Path(name.strip("\"'"))).split("\n")
    return [words for line in lines if not line.lstrip().startswith("*") and (words := shlex.split(line))]


def _command(words: list[str], node: dict[str, str], into: StampedLines, options: ClientOptions, optfile: Path) -> int:
    read = read_arguments(words)
    read.options = {**node, **read.options}
    with Desk(read, overruled(options, read), into, optfile, scheduled=True) as desk:
        return verb(read)(desk)
