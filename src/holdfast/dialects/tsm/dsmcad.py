"""``dsmcad``: the client acceptor. It waits for the node's next event, or for a prompt, and starts what carries it out.

The daemon itself holds no session and no catalog: each round is a ``dsmc schedule -once`` of its own, which asks,
works, and says how long to wait. When the daemon ends, that process ends with it, and the event stays "Started" on the
server: whoever starts the daemon next inside the window, on this system or another, runs it again.

It shows itself under the name by which it was started, ``.../dsmcad.vcs -optfile=...``, because that is how clusters
and init scripts look for it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from types import FrameType

from holdfast.backup.plan.clientschedule import Conduct
from holdfast.backup.service.client.login import Login
from holdfast.backup.service.client.options import ClientOptions
from holdfast.backup.service.client.prompts import Prompts
from holdfast.backup.service.client.schedulelog import StampedLines
from holdfast.backup.service.client.scheduler import schedule_log
from holdfast.dialects.tsm.dsmcdesk import ERROR, load, optfile_of
from holdfast.dialects.tsm.dsmcwords import Arguments, read_arguments
from holdfast.kernel.errors import HoldfastError, InputError
from holdfast.runtime.ownprocess import SPARE, set_command_line

_PROGRAM = "import sys; from holdfast.dialects.tsm.dsmcad import resume; sys.exit(resume(sys.argv[1:]))"
_END_LIMIT_S = 10.0
_READY = b"ready"


def main(name: str, arguments: list[str]) -> int:
    """Check the options, then leave a daemon behind, or (``-foreground``) become it. Return an exit code."""
    try:
        read = read_arguments(["schedule", *arguments])
        _check(read, load(read))
    except HoldfastError as error:
        sys.stderr.write(f"{error}\n")
        return ERROR
    foreground = read.has("FOREGROUND")
    shown = [name, *(word for word in arguments if not word.lower().startswith("-foreg"))]
    if foreground:
        os.execv(sys.executable, [sys.executable, "-c", _PROGRAM, "-1", *shown, SPARE])
    return _in_background(shown)


def _check(read: Arguments, options: ClientOptions) -> None:
    """Raise ``InputError`` for options under which the daemon could do nothing right."""
    login = Login.of(options, str(optfile_of(read)))
    if not login.password_file.exists():
        raise InputError(
            f"no password for node {login.node} at {login.server}",
            file=str(login.password_file),
            remedy="holdfast backup set-password --optfile FILE --password-file FILE",
        )
    Conduct.of(options.values)
    schedule_log(options)


def _in_background(shown: list[str]) -> int:
    """Start the daemon in a session of its own; wait until it says that it is ready, or has failed."""
    reader, writer = os.pipe()
    daemon = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(writer), *shown, SPARE],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(writer,),
        start_new_session=True,
        cwd="/",
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    if said == _READY:
        return 0
    sys.stderr.write(said.decode("utf-8", "replace") or "dsmcad ended at once\n")
    daemon.wait()
    return ERROR


def resume(words: list[str]) -> int:
    """Be the daemon: the descriptor for the good news, then the command line to show."""
    ready, shown = int(words[0]), words[1:-1]
    try:
        set_command_line(shown)
        read = read_arguments(["schedule", *shown[1:]])
        daemon = Daemon(read, load(read))
    except HoldfastError as error:
        if ready >= 0:
            os.write(ready, str(error).encode())
            os.close(ready)
        else:
            sys.stderr.write(f"{error}\n")
        return ERROR
    if ready >= 0:
        os.write(ready, _READY)
        os.close(ready)
    return daemon.run()


class Daemon:
    """Round after round until a signal. MANAGEDSERVICES without SCHEDULE leaves nothing to do but to be there."""

    def __init__(self, read: Arguments, options: ClientOptions) -> None:
        self._read, self._options = read, options
        self._login = Login.of(options, str(optfile_of(read)))
        self._log: StampedLines = schedule_log(options)
        self._prompts = Prompts.of(options, self._login)
        self._worker: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ended)

    def run(self) -> int:
        """Run until a signal; return the exit code."""
        managed = self._options.get("MANAGEDSERVICES", "schedule").lower().split()
        if not any("schedule".startswith(word) and len(word) >= 3 for word in managed):
            self._log.line("MANAGEDSERVICES names no schedule: nothing is started.")
            while True:
                signal.pause()
        with self._prompts:
            while True:
                self._prompts.wait(self._round())

    def _round(self) -> float:
        """Run one round in a process of its own; return the seconds until the next."""
        reader, writer = os.pipe()
        words = [f"-{name.lower()}={value}" for name, value in self._read.options.items() if value]
        words += ["-once", f"-reportto={writer}"]
        if self._prompts.address:
            words.append(f"-promptaddress={self._prompts.address}")
        command = [sys.executable, "-m", "holdfast.app.main", "dsmc", "schedule", *words]
        self._worker = subprocess.Popen(command, pass_fds=(writer,), stderr=subprocess.PIPE)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read().split()
        complaint = self._worker.communicate()[1].decode("utf-8", "replace").strip()
        code, self._worker = self._worker.returncode, None
        if said and code == 0:
            return float(said[0])
        self._log.line(f"The scheduler ended with {code}. {complaint}".strip())
        return Conduct.of(self._options.values).retry_s

    def _ended(self, number: int, _frame: FrameType | None) -> None:
        """End the worker, then this process: what it was doing stays open on the server and is resumed by the next."""
        worker = self._worker
        if worker is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)
            _wait_for(worker.pid)
        os._exit(0)


def _wait_for(pid: int) -> None:
    """Wait until a process has ended; kill it when it takes too long."""
    end = time.monotonic() + _END_LIMIT_S
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([descriptor], [], [], max(end - time.monotonic(), 0))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.close(descriptor)
