"""The client's scheduler: ask what is next, wait for it, do it, report it; every step in ``dsmsched.log``.

One ``step`` is one round: it asks, carries out what is due, and returns how long to wait. Nothing is kept between two
rounds, so the daemon may run each in a process of its own, and a scheduler that starts on another system after a
failover simply asks: an event that was started and never finished is offered again while its window is open.

What it does for an event is not its business: ``perform`` runs it and returns a return code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from holdfast.backup.model.clientmessages import text
from holdfast.backup.plan import clientschedule as plan
from holdfast.backup.plan.clientschedule import Conduct, Retention
from holdfast.backup.service.client.login import Login
from holdfast.backup.service.client.options import ClientOptions
from holdfast.backup.service.client.schedulelog import StampedLines
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import HoldfastError, InputError, Refused, Unavailable

Perform = Callable[[m.ScheduleRow, StampedLines], int]
"""Carries out an event, writing into the log; returns its code. Raises ``Unavailable`` when it could not begin."""
Sleep = Callable[[float], None]
_ERROR, _WARNING = 12, 8
_ACTIONS_OFF = {"COMMAND": "SCHEDCMDDISABLED", "RESTORE": "SCHEDRESTRETRDISABLED", "RETRIEVE": "SCHEDRESTRETRDISABLED"}
_RULE = "-" * 60


@dataclass(frozen=True, slots=True)
class Round:
    """What one step leaves: seconds until the next one, and whether a prompt may cut them short."""

    wait_s: float
    mode: str


class Scheduler:
    """One node's scheduler. ``address`` is where it can be prompted (``HOST:PORT``), empty when it only polls."""

    def __init__(
        self,
        login: Login,
        options: ClientOptions,
        log: StampedLines,
        perform: Perform,
        address: str = "",
        sleep: Sleep = time.sleep,
    ) -> None:
        self._login, self._options, self._log, self._perform = login, options, log, perform
        self._address, self._sleep = address, sleep
        self._conduct = Conduct.of(options.values)
        self._retention = Retention.of(options.get("SCHEDLOGRETENTION", "N"))

    def step(self) -> Round:
        """Ask, carry out whatever is due, ask again; return when to come back."""
        while True:
            try:
                schedules = self._ask()
            except (Unavailable, Refused) as error:
                self._log.line(f"{error.message}", text("ANS1905E", seconds=self._conduct.retry_s))
                return Round(self._conduct.retry_s, self._conduct.mode)
            conduct = self._conduct.under(schedules)
            row = plan.upcoming(schedules.rows, schedules.server_time_ns)
            if row is None:
                self._log.line(text("ANS1816I"))
                return Round(conduct.query_s, conduct.mode)
            wait_s = plan.wait_ns(row, schedules.server_time_ns) / 1e9
            self._announce(row, wait_s)
            if wait_s > 0:
                return Round(min(wait_s, conduct.query_s), conduct.mode)
            try:
                self._run(row, conduct, schedules.server_time_ns)
            except (Unavailable, Refused) as error:
                self._log.line(error.message, text("ANS1905E", seconds=conduct.retry_s))
                return Round(conduct.retry_s, conduct.mode)

    def _ask(self) -> m.Schedules:
        self._log.line("--- SCHEDULEREC QUERY BEGIN")
        address = self._address if self._conduct.mode == plan.PROMPTED else ""
        try:
            with self._login.open() as session:
                reply = session.call(lambda seq: m.QuerySchedules(seq, address))
        finally:
            self._log.line("--- SCHEDULEREC QUERY END")
        assert isinstance(reply, m.Schedules)
        return reply

    def _announce(self, row: m.ScheduleRow, wait_s: float) -> None:
        start = datetime.fromtimestamp(row.start_ns / 1e9)
        facts = (
            ("Schedule Name:", row.name),
            ("Action:", row.action.capitalize()),
            ("Objects:", row.objects),
            ("Options:", row.options),
            ("Server Window Start:", f"{start:%H:%M:%S} on {start:%m/%d/%Y}"),
        )
        self._log.line("Next operation scheduled:", _RULE, *(f"{name:<23}{value}".rstrip() for name, value in facts))
        when = f"Command will be executed in {_in_words(wait_s)}." if wait_s else "Executing scheduled command now."
        self._log.line(_RULE, when)

    def _run(self, row: m.ScheduleRow, conduct: Conduct, now_ns: int) -> None:
        """Carry an event out from start to report. Raises ``Unavailable`` when its result could not be delivered."""
        self._log.prune(self._retention)
        started_s = time.monotonic()
        self._report(row, plan.RESTARTED if row.status else plan.STARTED, 0, conduct)
        begun = datetime.fromtimestamp(row.start_ns / 1e9)
        self._log.line(f"--- SCHEDULEREC OBJECT BEGIN {row.name} {begun:%m/%d/%Y %H:%M:%S}")
        code, tried = _ERROR, 0
        while True:
            tried += 1
            try:
                code = self._attempt(row)
                break
            except HoldfastError as error:
                self._log.line(str(error))
                at_ns = now_ns + int((time.monotonic() - started_s) * 1e9)
                if not isinstance(error, Unavailable) or not plan.may_try_again(row, at_ns, tried, conduct):
                    break
                self._log.line(text("ANS1906I", seconds=conduct.retry_s, tried=tried, retries=conduct.retries))
                self._sleep(conduct.retry_s)
        self._log.line(f"--- SCHEDULEREC OBJECT END {row.name} {begun:%m/%d/%Y %H:%M:%S}")
        self._conclude(row, code, conduct)

    def _attempt(self, row: m.ScheduleRow) -> int:
        """The command between PRESCHEDULECMD and POSTSCHEDULECMD."""
        option = _ACTIONS_OFF.get(row.action, "")
        if self._options.get(option, "no").lower().startswith("y"):
            self._log.line(text("ANS1915E", name=row.name, action=row.action, option=option))
            return _ERROR
        self._start("PRENSCHEDULECMD")
        before = self._command("PRESCHEDULECMD")
        if before:
            self._log.line(text("ANS1902E", code=before))
            return _ERROR
        code = self._shell(row.objects) if row.action == "COMMAND" else self._perform(row, self._log)
        self._start("POSTNSCHEDULECMD")
        if self._command("POSTSCHEDULECMD"):
            code = max(code, _WARNING)
        return code

    def _command(self, option: str) -> int:
        command = self._options.get(option)
        if not command:
            return 0
        self._log.line(f"Executing Operating System command or script: {command}")
        return self._shell(command)

    def _start(self, option: str) -> None:
        """Start a command that nobody waits for."""
        if command := self._options.get(option):
            self._log.line(f"Starting Operating System command or script: {command}")
            subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _shell(self, command: str) -> int:
        """Run a command with the shell, its output into the log; return its exit code.

        It has a process group of its own, which ends when this scheduler is ended in the middle of it."""
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                self._log.line(line.rstrip("\n"))
            code = process.wait()
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
        self._log.line(f"Finished command.  Return code is: {code}")
        return code

    def _conclude(self, row: m.ScheduleRow, code: int, conduct: Conduct) -> None:
        status = plan.result(row.action, code)
        if status == plan.COMPLETED:
            self._log.line(f"Scheduled event '{row.name}' completed successfully.")
        else:
            self._log.line(text("ANS1512E", name=row.name, code=code))
        self._log.line(f"Sending results for scheduled event '{row.name}'.")
        self._report(row, status, code, conduct)
        self._log.line(f"Results sent to server for scheduled event '{row.name}'.")

    def _report(self, row: m.ScheduleRow, status: str, code: int, conduct: Conduct) -> None:
        """Tell the server; a server that is away is tried again, as often as a command would be."""
        for tried in range(conduct.retries + 1):
            try:
                with self._login.open() as session:
                    session.call(lambda seq: m.ReportEvent(seq, row.name, row.start_ns, status, code))
                return
            except Unavailable as error:
                self._log.line(error.message)
                if tried == conduct.retries:
                    raise
                self._sleep(conduct.retry_s)


def _in_words(wait_s: float) -> str:
    if wait_s < 60:
        return f"{int(wait_s + 0.999)} seconds"
    minutes = int(wait_s + 59) // 60
    if minutes < 60:
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} hour{'s' if hours > 1 else ''} and {minutes} minute{'s' if minutes != 1 else ''}"


def schedule_log(options: ClientOptions) -> StampedLines:
    """Return the log of the options: SCHEDLOGNAME, else ``dsmsched.log`` in DSM_LOG or beside ``dsm.sys``.

    Raises ``InputError`` when its directory does not exist."""
    usual = Path(os.environ.get("DSM_LOG") or Path(options.stanza[0]).parent)
    path = (usual / (options.get("SCHEDLOGNAME") or "dsmsched.log")).absolute()
    if not path.parent.is_dir():
        raise InputError("SCHEDLOGNAME cannot be written: its directory is not there", file=str(path), remedy="make it")
    return StampedLines(path, options.get("DATEFORMAT", "1"))
