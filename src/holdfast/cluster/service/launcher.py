"""The daemon's side of guard and workload: reports renewals, and runs commands where the guard can kill them.

The head of what a command prints comes in memory files, which the workload fills: a service that a start program leaves
behind may keep its output open for ever, and nobody has to read it for a command to end (``outlets``).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import pwd
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.cluster.ports import OUTPUT_LIMIT_BYTES, CommandResult
from holdfast.cluster.service.workload import LETTER_LIMIT_BYTES, MARK, PACKET_LIMIT_BYTES
from holdfast.kernel.errors import HoldfastError, InputError, Unavailable

_REPLY_LIMIT_S = 5.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class _Packets:
    """Receives JSON packets with at most one descriptor from a socket on the running event loop."""

    def __init__(self, sock: socket.socket, handle: Callable[[dict[str, Any], int], None]) -> None:
        self._socket, self._handle = sock, handle
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock.fileno(), self._ready)

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send one packet. Raises :class:`Unavailable` when the other side is gone or does not read."""
        data = json.dumps(message).encode()
        if len(data) > LETTER_LIMIT_BYTES:
            raise InputError("command line and environment are too long", remedy="shorten them to 2 MiB in all")
        letter = -1
        try:
            if len(data) > PACKET_LIMIT_BYTES:
                letter = os.memfd_create("letter")
                os.write(letter, data)
                data, descriptors = b'{"op": "letter"}', [letter, *descriptors]
            socket.send_fds(self._socket, [data], list(descriptors))
        except OSError as error:
            raise Unavailable(f"the workload does not answer: {error}") from error
        finally:
            if letter >= 0:
                os.close(letter)

    def close(self) -> None:
        """Stop listening and close."""
        with contextlib.suppress(ValueError, OSError):
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    def _ready(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, PACKET_LIMIT_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
                self._handle({"op": "gone"}, -1)
                return
            self._handle(json.loads(data), descriptors[0] if descriptors else -1)


class GuardLink:
    """Speaks with the guard over the socket that it left this process."""

    def __init__(self, sock: socket.socket) -> None:
        self._packets = _Packets(sock, self._received)
        self._waiting: dict[str, asyncio.Future[tuple[dict[str, Any], int]]] = {}
        self._scope_all = False

    def renewed(self, start: float, ttl_s: float) -> None:
        """Report a confirmed renewal that was started at ``start`` on the guard's clock."""
        with contextlib.suppress(Unavailable):
            self._packets.send({"op": "renewed", "start": start, "ttl": ttl_s})

    async def frozen(self, groups: Sequence[str]) -> None:
        """Tell the guard which groups it must spare; return once it has taken note."""
        await self._ask("frozen", {"op": "frozen", "groups": list(groups)})

    async def park(self) -> None:
        """Tell the guard that this daemon ends and is not to be replaced, and everything to be left running."""
        await self._ask("parked", {"op": "park"})

    def stop(self) -> None:
        """Tell the guard to end as if it were told from outside: this daemon first takes the groups offline."""
        with contextlib.suppress(Unavailable):
            self._packets.send({"op": "stop"})

    async def workload(self, group: str, whole_system: bool) -> Workload:
        """Return the workload of ``group``, made if there is none. Raises :class:`Unavailable`."""
        reply, descriptor = await self._ask(f"workload:{group}", {"op": "workload", "group": group})
        if not reply["ok"]:
            raise Unavailable(f"the guard cannot make a workload: {reply['error']}")
        workload = Workload(socket.socket(fileno=descriptor), reply["pid"], reply["mark"], whole_system)
        await workload.settle()
        return workload

    async def _ask(self, key: str, message: dict[str, Any]) -> tuple[dict[str, Any], int]:
        future: asyncio.Future[tuple[dict[str, Any], int]] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        self._packets.send(message)
        try:
            async with asyncio.timeout(_REPLY_LIMIT_S):
                return await future
        except TimeoutError as error:
            raise Unavailable("the guard does not answer") from error

    def _received(self, message: dict[str, Any], descriptor: int) -> None:
        key = f"workload:{message['group']}" if message["op"] == "workload" else str(message["op"])
        future = self._waiting.pop(key, None)
        if future is not None and not future.done():
            future.set_result((message, descriptor))
        elif descriptor >= 0:
            os.close(descriptor)


class RunningProcess:
    """A process in a workload; ends with its exit code."""

    def __init__(self, home: Workload, request: str, pid: int, pidfd: int) -> None:
        self._home, self._request, self._pid, self._pidfd = home, request, pid, pidfd

    @property
    def pid(self) -> int:
        """Its process id as the workload counts."""
        return self._pid

    async def wait(self) -> int:
        """Wait until it ends; return its exit code, or -9 if nobody knows it."""
        return await self._home.ended(self._request, self._pidfd)

    async def kill(self) -> None:
        """Kill it and all that it started. Idempotent."""
        self._home.kill_command(self._pid, self._request)


class Workload:
    """Runs commands inside one group's workload (``Commands`` of the ports)."""

    def __init__(self, sock: socket.socket, pid: int, mark: str, whole_system: bool) -> None:
        self._packets = _Packets(sock, self._received)
        self._mark, self._whole_system = mark, whole_system
        self._space = _space(pid)
        self._numbers, self._name = itertools.count(), os.urandom(4).hex()
        self._replies: dict[str, asyncio.Future[tuple[dict[str, Any], int]]] = {}
        self._exits: dict[str, asyncio.Future[int]] = {}
        self.gone = False

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
        files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        process: RunningProcess | None = None
        try:
            os.write(files[0], stdin)
            os.lseek(files[0], 0, os.SEEK_SET)
            process = await self._start(command, files, env, user, cwd, keep=OUTPUT_LIMIT_BYTES)
            try:
                async with asyncio.timeout(timeout_s):
                    code, late = await process.wait(), False
            except TimeoutError:
                code, late = -int(signal.SIGKILL), True
                await process.kill()
            out, err = (os.pread(file, OUTPUT_LIMIT_BYTES, 0).decode("utf-8", "replace") for file in files[1:])
            return CommandResult(code, out, err, late)
        except asyncio.CancelledError:
            if process is not None:
                await process.kill()
            raise
        finally:
            for file in files:
                os.close(file)

    async def spawn(
        self,
        command: str | Sequence[str],
        env: Mapping[str, str] | None = None,
        user: str = "",
        log: Path | None = None,
        cwd: str = "/",
        stays: bool = True,
    ) -> RunningProcess:
        """See ``Commands.spawn``."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        output = os.open(log or "/dev/null", flags, 0o600)
        source = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return await self._start(command, [source, output, output], env, user, cwd, stays, logs=log is not None)
        finally:
            os.close(output)
            os.close(source)

    async def process(self, pid: int) -> int | None:
        """See ``Commands.process``."""
        try:
            _, descriptor = await self._ask({"op": "pidfd", "pid": pid})
        except HoldfastError:
            return None
        if not self._space and not self._inside(str(pid)):
            os.close(descriptor)
            return None
        return descriptor

    async def find(self, pattern: str, user: str = "") -> int | None:
        """See ``Commands.find``."""
        uid = _user(user)[0] if user else None
        for pid in await asyncio.to_thread(self._candidates, pattern, uid):
            with contextlib.suppress(OSError):
                return os.pidfd_open(pid)
        return None

    async def using(self, path: str) -> tuple[int, ...]:
        """See ``Commands.using``."""
        found: list[int] = []
        for pid in await asyncio.to_thread(self._users, path):
            with contextlib.suppress(OSError):
                found.append(os.pidfd_open(pid))
        return tuple(found)

    async def ended(self, request: str, pidfd: int) -> int:
        """Wait for the process behind ``pidfd``; return the exit code that the workload reported."""
        future = self._exits[request]
        try:
            await _readable(pidfd)
            async with asyncio.timeout(_REPLY_LIMIT_S):
                return await asyncio.shield(future)
        except TimeoutError:
            return -int(signal.SIGKILL)
        finally:
            self._exits.pop(request, None)
            os.close(pidfd)

    def kill_command(self, pid: int, request: str) -> None:
        """Kill a command and all that it started, in whatever session."""
        with contextlib.suppress(Unavailable):
            number = int(signal.SIGKILL)
            self._packets.send({"id": "-", "op": "kill", "pid": pid, "signal": number, "command": request})

    def close(self) -> None:
        """Let go of the workload, which lives on."""
        self._packets.close()

    async def settle(self) -> None:
        """Kill what an earlier daemon still ran here; what it left to stay goes on. Raises ``Unavailable``."""
        await self._ask({"op": "settle"})

    async def _start(
        self,
        command: str | Sequence[str],
        files: list[int],
        env: Mapping[str, str] | None,
        user: str,
        cwd: str,
        stays: bool = False,
        keep: int = 0,
        logs: bool = False,
    ) -> RunningProcess:
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else [str(part) for part in command]
        message: dict[str, Any] = {
            "op": "spawn",
            "stays": stays,
            "keep": keep,
            "logs": logs,
            "argv": argv,
            "env": {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": "/", **(env or {})},
            "cwd": cwd,
        }
        if user and user != "root" and os.geteuid() == 0:
            message["uid"], message["gid"] = _user(user)
            message["user"] = user
        asked = asyncio.ensure_future(self._ask(message, files))
        try:
            reply, pidfd = await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(self._abandon)
            await asyncio.wait([asked])  # its files stay open until they are sent; bounded by the reply's limit
            raise
        return RunningProcess(self, reply["id"], reply["pid"], pidfd)

    def _abandon(self, asked: asyncio.Future[tuple[dict[str, Any], int]]) -> None:
        """Kill what was started for somebody who was cancelled meanwhile, also before it leads its session."""
        if asked.cancelled() or asked.exception() is not None:
            return
        reply, pidfd = asked.result()
        self._exits.pop(reply["id"], None)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
        self.kill_command(reply["pid"], reply["id"])

    async def _ask(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> tuple[dict[str, Any], int]:
        if self.gone:
            raise Unavailable("the workload is gone")
        name = f"{self._name}-{next(self._numbers)}"
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[dict[str, Any], int]] = loop.create_future()
        self._replies[name] = future
        if message["op"] == "spawn":
            self._exits[name] = loop.create_future()
        try:
            self._packets.send({**message, "id": name}, descriptors)
            async with asyncio.timeout(_REPLY_LIMIT_S):
                reply, descriptor = await future
        except (TimeoutError, Unavailable) as error:
            self._exits.pop(name, None)
            raise Unavailable(f"the workload does not answer: {error}") from error
        finally:
            self._replies.pop(name, None)
        if not reply.get("ok"):
            self._exits.pop(name, None)
            raise HoldfastError(str(reply.get("error", "the workload refused")))
        return reply, descriptor

    def _received(self, message: dict[str, Any], descriptor: int) -> None:
        if message.get("op") == "gone":
            self.gone = True
            for future in self._replies.values():
                if not future.done():
                    future.set_exception(Unavailable("the workload is gone"))
            return
        if "exit" in message:
            waiting = self._exits.get(message["id"])
            if waiting is not None and not waiting.done():
                waiting.set_result(message["exit"])
            return
        reply = self._replies.get(message["id"])
        if reply is not None and not reply.done():
            reply.set_result((message, descriptor))
        elif descriptor >= 0:
            os.close(descriptor)

    def _candidates(self, pattern: str, uid: int | None) -> list[int]:
        wanted = " ".join(pattern.split())
        found: list[int] = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                if uid is not None and os.stat(f"/proc/{name}").st_uid != uid:
                    continue
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    line = file.read().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
                if " ".join(line.split()) == wanted and (self._whole_system or self._inside(name)):
                    found.append(int(name))
            except OSError:
                continue
        return found

    def _users(self, path: str) -> list[int]:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and self._uses(name, path)]

    def _uses(self, pid: str, path: str) -> bool:
        """Look at links only: reading them never touches the file system they point to."""
        try:
            if not self._inside(pid):
                return False
            links = [f"/proc/{pid}/cwd", f"/proc/{pid}/root", f"/proc/{pid}/exe"]
            links += [f"/proc/{pid}/fd/{number}" for number in os.listdir(f"/proc/{pid}/fd")]
            with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
                targets = {line.split(None, 5)[5].strip() for line in maps if line.count(" /") or line.count("\t/")}
        except (OSError, IndexError):
            return False
        for link in links:
            with contextlib.suppress(OSError):
                targets.add(os.readlink(link))
        return any(target == path or target.startswith(f"{path.rstrip('/')}/") for target in targets)

    def _inside(self, pid: str) -> bool:
        if self._space:
            return os.readlink(f"/proc/{pid}/ns/pid") == self._space
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return f"{MARK}={self._mark}".encode() in file.read().split(b"\0")
        except OSError:
            return False


def _space(pid: int) -> str:
    """Return the PID namespace of a workload, or nothing when it has none of its own."""
    try:
        space = os.readlink(f"/proc/{pid}/ns/pid")
        return space if space != os.readlink("/proc/self/ns/pid") else ""
    except OSError:
        return ""


def _user(name: str) -> tuple[int, int]:
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise InputError(f"there is no user {name!r}", remedy="correct attribute User") from error
    return entry.pw_uid, entry.pw_gid


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


readable = _readable
"""Wait until a descriptor can be read; a pidfd can when its process has ended."""
