"""Running dscli as a program that may do anything: hang, flood, ask, be missing. And one at a time for each array.

Each run has its own process group, which is killed whole when the time is up or too much is printed; its standard input
ends at once, so that a log-in prompt ends too; its language is C. What is kept of a run is its output, and a line in
the log with the command line, which never holds a password: dscli reads that from its password file, and a file that
others can read is refused before anything is started.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import selectors
import shlex
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.kernel.errors import HoldfastError, InputError, Refusal, Refused, Unavailable
from holdfast.runtime.secretfile import read_secret

OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
"""A list of sixty thousand pairs in its long form is as long; who prints more is not dscli."""
LOCK_WAIT_S = 90.0
LOCALE: Mapping[str, str] = {"LC_ALL": "C", "LANG": "C", "LANGUAGE": "C"}
"""dscli translates headers and values to the language of its environment; this one is never translated."""
_STEP_S = 0.05
_CHUNK = 65536
_LOG = logging.getLogger("holdfast.replication.dscli")


class NotStarted(Unavailable):
    """A command was not started at all, so that nothing of it can have taken effect."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one run printed, and its exit code (negative: the signal that ended it)."""

    stdout: str
    stderr: str
    code: int


def missing(program: str, reason: str) -> Refused:
    """Return the error for a dscli that cannot be started."""
    remedy = "install dscli there or correct the path; for the software array: holdfast dialect install --into "
    return Refused(Refusal("dscli-missing", f"{program} cannot be run: {reason}", remedy + str(Path(program).parent)))


def late(limit_s: float) -> Unavailable:
    """Return the error for a dscli that had to be killed because it did not end."""
    return Unavailable(f"dscli did not end within {limit_s:.0f} s and was killed", "see whether the console answers")


def flooded(limit_bytes: int) -> Refused:
    """Return the error for a dscli that printed more than any answer has."""
    reason = f"dscli printed more than {limit_bytes} bytes and was killed"
    return Refused(Refusal("dscli-flood", reason, "see what the program at DSCliHome is"))


def insist_on_secret(pwfile: str) -> None:
    """Refuse a password file that others can read or that is another user's. Raises ``InputError``; a file that is not
    there is left to dscli, which says where it looked."""
    if pwfile and Path(pwfile).exists():
        read_secret(Path(pwfile))


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment that dscli gets."""
    return {**os.environ, **(more or {}), **LOCALE}


def run(argv: Sequence[str], limit_s: float, given: str = "", more: Mapping[str, str] | None = None) -> Said:
    """Run dscli with ``given`` on its standard input, which then ends.

    Raises ``Unavailable`` when it does not end in ``limit_s`` seconds, ``Refused`` when it cannot be started
    (``dscli-missing``) or floods (``dscli-flood``). Either way nothing of it is left running.
    """
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(more),
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        _told(argv, began, outcome="missing")
        raise missing(argv[0], error.strerror or str(error)) from error
    try:
        out, err = _exchange(process, given.encode(), began + limit_s, limit_s)
        code = process.wait(max(0.01, began + limit_s - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        _told(argv, began, outcome="killed")
        raise late(limit_s) from error
    except HoldfastError as error:
        _told(argv, began, outcome="killed", reason=error.message)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also what it started and left behind
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    _told(argv, began, code=code, commands=given.count("\n") or None)
    return Said(out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), code)


def _exchange(process: subprocess.Popen[bytes], given: bytes, deadline: float, limit_s: float) -> tuple[bytes, bytes]:
    """Write and read until the program has closed its output, within bounds of time and size."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    read: dict[int, bytearray] = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as selector:
        for number in read:
            selector.register(number, selectors.EVENT_READ)
        if given:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin.fileno(), selectors.EVENT_WRITE)
        else:
            process.stdin.close()
        while any(key.events == selectors.EVENT_READ for key in selector.get_map().values()):
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready and time.monotonic() >= deadline:
                raise late(limit_s)
            for key, _ in ready:
                if key.events == selectors.EVENT_WRITE:
                    given = _write(selector, process, given)
                elif not _read(selector, key.fd, read[key.fd]):
                    selector.unregister(key.fd)
            if sum(map(len, read.values())) > OUTPUT_LIMIT_BYTES:
                raise flooded(OUTPUT_LIMIT_BYTES)
    out, err = read.values()
    return bytes(out), bytes(err)


def _read(selector: selectors.BaseSelector, number: int, into: bytearray) -> bool:
    chunk = os.read(number, _CHUNK)
    into += chunk
    return bool(chunk)


def _write(selector: selectors.BaseSelector, process: subprocess.Popen[bytes], given: bytes) -> bytes:
    """Write what fits; the end of the input is told when all is written, or nobody reads."""
    assert process.stdin is not None
    try:
        given = given[os.write(process.stdin.fileno(), given) :]
    except BlockingIOError:
        return given
    except BrokenPipeError:
        given = b""
    if not given:
        selector.unregister(process.stdin.fileno())
        process.stdin.close()
    return given


def _told(argv: Sequence[str], began: float, **facts: object) -> None:
    known = " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
    _LOG.info("%s | %.3f s %s", shlex.join(argv), time.monotonic() - began, known)


# --- one at a time ---------------------------------------------------------------------------------------------------


class Turn:
    """The right to talk to a storage image: one holder among all processes of this user on this system.

    A lock file, so that it ends with its holder however that ends. ``console`` is part of its name: two arrays that
    call themselves the same are two arrays.
    """

    def __init__(self, image: str, console: str, directory: Path | None = None) -> None:
        name = hashlib.blake2b(f"{image}\0{console}".encode(), digest_size=8).hexdigest()
        self._path = (directory or _directory()) / f"dscli-{name}.lock"
        self._image = image
        self._file = -1

    def take(self) -> bool:
        """Take it if nobody has it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._file = descriptor
        return True

    def drop(self) -> None:
        """Give it back."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def busy(self, waited_s: float) -> NotStarted:
        """Return the error for a turn that did not come."""
        text = f"another dscli command for {self._image} has been under way for {waited_s:.0f} s: nothing was started"
        return NotStarted(text, f"see what it waits for: fuser {self._path}")

    @contextlib.contextmanager
    def held(self, limit_s: float = LOCK_WAIT_S) -> Iterator[None]:
        """Hold it. Raises ``NotStarted`` if it does not come in ``limit_s`` seconds."""
        deadline = time.monotonic() + limit_s
        while not self.take():
            if time.monotonic() >= deadline:
                raise self.busy(limit_s)
            time.sleep(_STEP_S)
        try:
            yield
        finally:
            self.drop()


def _directory() -> Path:
    """The directory for lock files: this user's own, refused if somebody else made it. HOLDFAST_LOCKS names another."""
    base = Path("/run/lock") if os.access("/run/lock", os.W_OK) else Path(tempfile.gettempdir())
    path = Path(os.environ.get("HOLDFAST_LOCKS") or base / f"holdfast-{os.geteuid()}")
    path.mkdir(mode=0o700, exist_ok=True)
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        raise InputError("is not this user's own directory", file=str(path), remedy=f"remove {path}")
    return path
