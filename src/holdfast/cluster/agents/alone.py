"""Commands without a guard: for Holdfast's own agents under another cluster manager.

The other manager decides what may run and kills what must not, so there is no workload here: a command is a plain child
in a session of its own, and what it leaves behind stays when this process ends. Everything on the system counts as
being of the group.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from holdfast.cluster.agents.foreignlog import closed_to_others
from holdfast.cluster.ports import OUTPUT_LIMIT_BYTES, CommandResult
from holdfast.kernel.errors import HoldfastError, InputError

_FOUND_NO_PROGRAM = 127


class Child:
    """A command that was started and stays."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    async def wait(self) -> int:
        """Wait until it ends; return its exit code."""
        pidfd = os.pidfd_open(self._child.pid)
        try:
            while not await asyncio.to_thread(_ended, pidfd, 0.05):
                pass
            return self._child.wait()
        finally:
            os.close(pidfd)

    async def kill(self) -> None:
        """Kill its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)


class Alone:
    """``Commands`` of the ports, on the system as it is."""

    async def run(
        self,
        command: str | Sequence[str],
        timeout_s: float = 60.0,
        env: Mapping[str, str] | None = None,
        user: str = "",
        stdin: bytes = b"",
        cwd: str = "/",
    ) -> CommandResult:
        """See ``Commands.run``."""
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            source.write(stdin)
            source.seek(0)
            try:
                child = Child(_start(command, (source, out, err), env, user, cwd))
            except OSError as error:
                return CommandResult(_FOUND_NO_PROGRAM, stderr=str(error))
            code, late = -int(signal.SIGKILL), True
            try:
                async with asyncio.timeout(timeout_s):
                    code, late = await child.wait(), False
            except TimeoutError:
                pass
            finally:
                if late:
                    await child.kill()
            texts = (os.pread(file.fileno(), OUTPUT_LIMIT_BYTES, 0).decode("utf-8", "replace") for file in (out, err))
            return CommandResult(code, next(texts), next(texts), late)

    async def spawn(
        self,
        command: str | Sequence[str],
        env: Mapping[str, str] | None = None,
        user: str = "",
        log: Path | None = None,
        cwd: str = "/",
        stays: bool = True,
    ) -> Child:
        """See ``Commands.spawn``."""
        try:
            return await asyncio.to_thread(_leave, command, log or Path(os.devnull), env, user, cwd)
        except OSError as error:
            raise HoldfastError(f"cannot be started: {error}") from error

    async def process(self, pid: int) -> int | None:
        """See ``Commands.process``."""
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
        return None

    async def find(self, pattern: str, user: str = "") -> int | None:
        """See ``Commands.find``."""
        wanted, uid = " ".join(pattern.split()), _entry(user).pw_uid if user else None
        for pid in _processes():
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                if " ".join(line.split()) == wanted and uid in (None, os.stat(f"/proc/{pid}").st_uid):
                    return os.pidfd_open(pid)
        return None

    async def using(self, path: str) -> tuple[int, ...]:
        """See ``Commands.using``; this process is left out."""
        found: list[int] = []
        for pid in await asyncio.to_thread(lambda: [one for one in _processes() if _uses(one, path)]):
            with contextlib.suppress(OSError):
                found.append(os.pidfd_open(pid))
        return tuple(found)


def _leave(command: str | Sequence[str], log: Path, env: Mapping[str, str] | None, user: str, cwd: str) -> Child:
    with open(os.devnull, "rb") as source, open(log, "ab", opener=closed_to_others) as output:
        return Child(_start(command, (source, output, output), env, user, cwd))


def _start(
    command: str | Sequence[str],
    files: tuple[IO[bytes], IO[bytes], IO[bytes]],
    env: Mapping[str, str] | None,
    user: str,
    cwd: str,
) -> subprocess.Popen[bytes]:
    argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    other = user if user and user != "root" and os.geteuid() == 0 else None
    group = _entry(user).pw_gid if other else None
    source, out, err = files
    return subprocess.Popen(
        argv, stdin=source, stdout=out, stderr=err, env={**os.environ, **(env or {})}, cwd=cwd, user=other, group=group,
        extra_groups=[] if other else None, start_new_session=True,
    )  # fmt: skip


def _ended(pidfd: int, limit_s: float) -> bool:
    return bool(select.select([pidfd], [], [], limit_s)[0])


def _entry(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise InputError(f"there is no user {user!r}", remedy="correct the parameter that names it") from error


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _uses(pid: int, path: str) -> bool:
    """Look at links only: reading them never touches the file system they point to."""
    targets: set[str] = set()
    for link in ("cwd", "root", "exe"):
        with contextlib.suppress(OSError):
            targets.add(os.readlink(f"/proc/{pid}/{link}"))
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                targets.add(os.readlink(f"/proc/{pid}/fd/{number}"))
    return any(target == path or target.startswith(f"{path.rstrip('/')}/") for target in targets)
