"""The workload: the killable home of everything that a group runs on a system.

The guard forks one such process per group. As root it is the first process of a PID namespace, so that killing it
kills every descendant, double-forked daemons included. Otherwise each command carries a marker in its environment and
the guard kills by scanning for it (:func:`kill_marked`). The system daemon asks over a socket for commands to be
started; the workload outlives a daemon that is killed, and dies with the guard.

Messages are JSON, one a packet, descriptors beside them: ``spawn`` (argv, env, cwd, uid, gid, how much of the output to
keep, or whether it goes to a log; stdin, stdout, stderr) → pid and pidfd, later ``exit``; ``pidfd`` (pid) → pidfd;
``kill`` (a command by pid and name: its process group, and by the mark in their environment all that it started, in
whatever session). A message that is too long for a packet lies in a memory file, the first descriptor of a ``letter``.
``settle`` kills the commands that an earlier daemon left running, save those that stay: a start that nobody waits for
must not succeed behind the back of a daemon that has found the resource offline.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

from holdfast.cluster.service import kernelcalls
from holdfast.cluster.service.outlets import Outlets, Scribe

PACKET_LIMIT_BYTES = 128 * 1024
LETTER_LIMIT_BYTES = 2 * 1024 * 1024
"""More than any program can be started with."""
MARK = "HOLDFAST_WORKLOAD"
COMMAND = "HOLDFAST_COMMAND"
"""In the environment of every command: its own name, never used again."""
_KILL_LIMIT_S = 1.0
_KILL_ROUNDS = 200


def serve(control: socket.socket, requests: socket.socket, mark: str, namespaced: bool) -> None:
    """Run as the workload's first process until the guard closes ``control``. Never returns."""
    kernelcalls.die_with_parent(signal.SIGKILL if namespaced else signal.SIGTERM)
    if namespaced:
        kernelcalls.own_proc()
    else:
        kernelcalls.adopt_orphans()
    kernelcalls.take_precedence()
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    # Handlers only wake the loop. One that raised could end the killing that the guard's death has already begun.
    signal.signal(signal.SIGTERM, signal.SIG_IGN if namespaced else _wake)
    signal.signal(signal.SIGCHLD, _wake)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    requests.setblocking(False)
    try:
        _Workload(requests, mark).loop(control, wake_read)
    except _GuardGone:
        if not namespaced:
            kill_marked(mark, spare=os.getpid())
    finally:
        kind, failure, trace = sys.exc_info()
        if kind is not None:
            sys.excepthook(kind, failure, trace)  # type: ignore[arg-type]
            sys.stderr.flush()
        os._exit(0)


class _GuardGone(Exception):
    """The guard ended, so the workload must."""


def _wake(_number: int, _frame: object) -> None:
    """Nothing to do: the signal's number comes through the wake-up pipe."""


class _Workload:
    def __init__(self, requests: socket.socket, mark: str) -> None:
        self._requests, self._mark = requests, mark
        self._ids: dict[int, str] = {}
        self._passing: set[int] = set()
        self._poll = select.poll()
        self._outlets, self._pipes, self._scribe = Outlets(self._poll), dict[int, list[int]](), Scribe()

    def loop(self, control: socket.socket, wake: int) -> None:
        for descriptor in (control.fileno(), self._requests.fileno(), wake):
            self._poll.register(descriptor, select.POLLIN)
        while True:
            for descriptor, _ in self._poll.poll(self._outlets.patience_ms()):
                if descriptor in self._outlets:
                    self._outlets.ready(descriptor)
                elif descriptor == wake:
                    if signal.SIGTERM in os.read(wake, 4096):  # the parent, the guard, has died
                        raise _GuardGone
                elif descriptor == control.fileno():
                    if not control.recv(64):
                        raise _GuardGone
                else:
                    self._answer()
            self._outlets.wake()
            self._reap()

    def _answer(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._requests, PACKET_LIMIT_BYTES, 8, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        if not data:
            raise _GuardGone
        message = json.loads(data)
        if message["op"] == "letter":
            letter = descriptors.pop(0)
            message = json.loads(os.pread(letter, LETTER_LIMIT_BYTES, 0))
            os.close(letter)
        try:
            if message["op"] == "spawn":
                self._spawn(message, descriptors)
            elif message["op"] == "pidfd":
                self._send({"id": message["id"], "ok": True}, os.pidfd_open(message["pid"]))
            elif message["op"] == "settle":
                self._settle()
                self._send({"id": message["id"], "ok": True})
            elif message["op"] == "kill":
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(message["pid"], message["signal"])
                kill_marked(message["command"], COMMAND, limit_s=_KILL_LIMIT_S)
                self._send({"id": message["id"], "ok": True})
        except OSError as error:
            self._send({"id": message["id"], "ok": False, "error": str(error)})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _spawn(self, message: dict[str, Any], descriptors: list[int]) -> None:
        keep, pipes, writers = message.get("keep", 0), list[int](), list[int]()
        try:
            for target in descriptors[1:3] if keep else []:
                reader, writer = self._outlets.add(target, keep)
                pipes.append(reader)
                writers.append(writer)
            if message.get("logs"):
                writers.append(self._scribe.add(descriptors[1]))
            inside = [descriptors[0], writers[0], writers[-1]] if writers else descriptors
            pid = os.fork()
            if pid == 0:
                _execute(message, inside, self._mark)
        finally:
            for writer in writers:
                os.close(writer)
        self._ids[pid], self._pipes[pid] = message["id"], pipes
        if not message.get("stays"):
            self._passing.add(pid)
        self._send({"id": message["id"], "ok": True, "pid": pid}, os.pidfd_open(pid))

    def _settle(self) -> None:
        for pid in self._passing:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # one that does not lead its session yet

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            request = self._ids.pop(pid, None)
            self._passing.discard(pid)
            for pipe in self._pipes.pop(pid, []):
                self._outlets.ended(pipe)
            if request is not None:
                self._send({"id": request, "exit": os.waitstatus_to_exitcode(status)})

    def _send(self, message: dict[str, Any], descriptor: int = -1) -> None:
        """A daemon that does not read loses its answers; the workload never waits for it."""
        data = json.dumps(message).encode()
        with contextlib.suppress(OSError):
            socket.send_fds(self._requests, [data], [descriptor] if descriptor >= 0 else [])
        if descriptor >= 0:
            os.close(descriptor)


def _execute(message: dict[str, Any], descriptors: list[int], mark: str) -> None:
    try:
        signal.set_wakeup_fd(-1)
        kernelcalls.usual_priority()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        for target, source in enumerate(os.dup(descriptor) for descriptor in descriptors[:3]):
            os.dup2(source, target, inheritable=True)
        if message.get("uid") is not None:
            os.initgroups(message["user"], message["gid"])
            os.setresgid(message["gid"], message["gid"], message["gid"])
            os.setresuid(message["uid"], message["uid"], message["uid"])
        os.chdir(message["cwd"])
        os.execvpe(message["argv"][0], message["argv"], {**message["env"], MARK: mark, COMMAND: message["id"]})
    except OSError as error:
        os.write(2, f"{message['argv'][0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def kill_marked(mark: str, name: str = MARK, spare: int = 0, limit_s: float = 5.0) -> int:
    """Kill every process whose environment has ``name`` as ``mark`` until none is left; return how many were killed.

    A scan is repeated because a process may fork while it runs; processes are stopped first so that they cannot
    outrun it. Gives up after ``limit_s`` seconds.
    """
    needle = f"{name}={mark}".encode()
    end, killed = time.monotonic() + limit_s, set[int]()
    for _ in range(_KILL_ROUNDS):
        found = [pid for pid in _marked(needle) if pid != spare]
        if not found or time.monotonic() > end:
            break
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        killed.update(found)
        time.sleep(0.005)
    return len(killed)


def _marked(needle: bytes) -> list[int]:
    found: list[int] = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                marked = needle in file.read().split(b"\0")
            if marked and not _zombie(name):
                found.append(int(name))
        except OSError:
            continue
    return found


def _zombie(pid: str) -> bool:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
