"""The guard: the parent of the system daemon, and the reason why a lapsed lease is harmless.

It knows one thing, the lease deadline. The daemon reports each confirmed renewal with the time at which it was
*started*; the deadline is that start plus the time to live, on the clock that counts suspended time too. A renewal
counts only if it was started before the earlier deadline passed: a system that was stopped for a while cannot renew
its way around a lapse. When the deadline passes, everything that runs for the groups is killed at once, whether the
daemon runs, hangs, is stopped or is dead. After that the daemon starts afresh under a new incarnation.

The first thing done after any wake-up is the look at the clock. Frozen groups are spared: a person took charge.
Imports are few so that it starts in milliseconds and stays small. Start it with one JSON argument (:class:`_Guard`).
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
from typing import Any, NoReturn

from holdfast.cluster.plan.deadline import Deadline, next_incarnation
from holdfast.cluster.service import kernelcalls, workload
from holdfast.cluster.service.watchdog import Watchdog

GUARD_FD = "HOLDFAST_GUARD_FD"
_BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_STABLE_S = 10.0
_STOP_LIMIT_S = 60.0
_SAY_EVERY_S = 10.0


def clock() -> float:
    """Seconds on the clock by which deadlines are kept; it counts while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Home:
    """One group's workload: its first process, the marker of its commands, the end of the socket for the daemon."""

    def __init__(self, group: str, namespaced: bool) -> None:
        self.group, self.namespaced, self.mark = group, namespaced, os.urandom(12).hex()
        self.control, inner_control = socket.socketpair()
        self.requests, inner_requests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = kernelcalls.fork_into_namespaces() if namespaced else os.fork()
        if pid == 0:
            kernelcalls.close_all_but(inner_control.fileno(), inner_requests.fileno())
            _serve(inner_control, inner_requests, self.mark, namespaced)
        self.pid = pid
        self._mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC) if namespaced else -1
        inner_control.close()
        inner_requests.close()

    def kill(self) -> None:
        """Kill everything in it. With a namespace the kernel does it at one stroke.

        The mount namespace is held until all are dead. Whoever drops it last unmounts what is only mounted there; a
        dying nbdfuse must not be the one, for it would wait for its own answers, in a state that no signal ends.
        """
        if not self.namespaced:
            workload.kill_marked(self.mark, spare=self.pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        if not self.namespaced:
            workload.kill_marked(self.mark)
        elif self._mounts >= 0:
            held, self._mounts = self._mounts, -1
            _await_unmount(kernelcalls.close_elsewhere(held), self.group)
        self.control.close()
        self.requests.close()


def _await_unmount(child: int, group: str) -> None:
    """Wait until nothing that only a workload had mounted is mounted any more: dirty pages are written until then."""
    began = said = clock()
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if clock() - said > _SAY_EVERY_S:
            said = clock()
            _say("warning", f"{group}: its file systems are still being unmounted after {said - began:.0f} s")
        time.sleep(0.005)


def _serve(control: socket.socket, requests: socket.socket, mark: str, namespaced: bool) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        workload.serve(control, requests, mark, namespaced)
    except OSError as error:
        _say("error", f"workload cannot start: {error}")
    os._exit(1)


class _Guard:
    def __init__(self, settings: dict[str, Any]) -> None:
        self._argv: list[str] = settings["daemon"]
        self._on_expiry: str = settings.get("on_expiry", "kill")
        self._reboot: list[str] = settings.get("reboot_command", ["/sbin/reboot", "-f"])
        self._namespaced = self._can_isolate(settings.get("isolation", "auto"))
        self._homes: dict[str, _Home] = {}
        self._frozen: frozenset[str] = frozenset()
        self._deadline = Deadline()
        self._incarnation = _new_incarnation("")
        self._daemon, self._socket = 0, socket.socket()
        self._started, self._failures, self._restart_at = 0.0, 0, 0.0
        self._stopping, self._parked = 0.0, False
        self._watchdog = _armed(settings.get("watchdog") or {})

    def run(self) -> int:
        """Guard until told to stop; return the exit code."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGUSR1, self._resume)
        kind = "PID namespace" if self._namespaced else "environment marker (ordinary user)"
        _say("info", f"guarding; each group's workload is held by {kind}")
        self._start_daemon()
        while not self._finished():
            self._feed()
            poll = select.poll()
            poll.register(wake_read, select.POLLIN)
            if self._daemon:
                poll.register(self._socket.fileno(), select.POLLIN)
            ready = {descriptor for descriptor, _ in poll.poll(self._patience_ms())}
            self._enforce()
            if wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_read, 4096)
            if self._daemon and self._socket.fileno() in ready:
                self._listen()
            self._look_after_daemon()
            self._reap_strangers()
        self._kill_all(spared=frozenset())
        if self._watchdog is not None:
            self._watchdog.disarm()
        return 0

    def _feed(self) -> None:
        if self._watchdog is not None:
            self._watchdog.look(clock(), self._deadline.at)

    def _enforce(self) -> None:
        if not self._deadline.passed(clock()):
            return
        if self._daemon:
            self._listen()
        if not self._deadline.passed(clock()):
            return
        found = clock()
        if self._daemon:
            os.kill(self._daemon, signal.SIGKILL)
        late_ms = (found - self._deadline.at) * 1000
        self._kill_all(spared=self._frozen)
        self._deadline.lapse()
        self._kill_daemon()
        took_ms = (clock() - found) * 1000
        _say("warning", f"lease deadline passed {late_ms:.0f} ms ago: everything killed within {took_ms:.0f} ms")
        if self._on_expiry == "reboot":
            _say("error", "rebooting as configured")
            os.execvp(self._reboot[0], self._reboot)
        self._incarnation = _new_incarnation(self._incarnation)

    def _kill_all(self, spared: frozenset[str]) -> None:
        for group in [group for group in self._homes if group not in spared]:
            self._homes.pop(group).kill()

    def _kill_daemon(self) -> None:
        if self._daemon:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._daemon, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._daemon, 0)
            self._daemon, self._restart_at = 0, clock()
            self._socket.close()

    def _patience_ms(self) -> int:
        ends = [end for end in (self._deadline.at, 0.0 if self._daemon else self._restart_at, self._stopping) if end]
        longest_ms = 1000 if self._watchdog is None else int(self._watchdog.period_s * 1000)
        if not ends:
            return longest_ms
        return max(0, min(longest_ms, int((min(ends) - clock()) * 1000) + 1))

    def _listen(self) -> None:
        while True:
            try:
                data = self._socket.recv(workload.PACKET_LIMIT_BYTES)
            except (BlockingIOError, ConnectionError, OSError):
                return
            if not data:
                return
            self._handle(json.loads(data))

    def _handle(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "renewed":
                self._deadline.renewed(message["start"], message["ttl"])
            case "frozen":
                self._frozen = frozenset(message["groups"])
                self._send({"op": "frozen", "groups": sorted(self._frozen)})
            case "park":
                self._parked = True
                self._deadline.lapse()
                _say("warning", "parked: everything runs on unguarded until the system is started again")
                self._send({"op": "parked"})
            case "stop":
                self._stop(signal.SIGTERM, None)
            case "workload":
                self._offer(message["group"])
            case "kill":
                home = self._homes.pop(message["group"], None)
                if home is not None:
                    home.kill()
                self._send({"op": "killed", "group": message["group"]})

    def _offer(self, group: str) -> None:
        home = self._homes.get(group)
        if home is not None and os.waitpid(home.pid, os.WNOHANG)[0]:
            self._homes.pop(group).kill()
            home = None
        if home is None:
            try:
                home = self._homes[group] = _Home(group, self._namespaced)
            except OSError as error:
                self._send({"op": "workload", "group": group, "ok": False, "error": str(error)})
                return
        self._send(
            {"op": "workload", "group": group, "ok": True, "pid": home.pid, "mark": home.mark}, home.requests.fileno()
        )

    def _send(self, message: dict[str, Any], descriptor: int = -1) -> None:
        with contextlib.suppress(OSError):
            socket.send_fds(self._socket, [json.dumps(message).encode()], [descriptor] if descriptor >= 0 else [])

    def _start_daemon(self) -> None:
        self._socket, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        environment = {**os.environ, GUARD_FD: str(inner.fileno()), "HOLDFAST_INCARNATION": self._incarnation}
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1):
                    signal.signal(number, signal.SIG_DFL)
                kernelcalls.die_with_parent()
                kernelcalls.take_precedence()
                os.set_inheritable(inner.fileno(), True)
                os.execve(self._argv[0], self._argv, environment)
            finally:
                os._exit(127)
        inner.close()
        self._daemon, self._started, self._restart_at = pid, clock(), 0.0

    def _look_after_daemon(self) -> None:
        if self._daemon:
            pid, status = os.waitpid(self._daemon, os.WNOHANG)
            if not pid:
                return
            self._socket.close()
            self._daemon = 0
            self._failures = 0 if clock() - self._started > _STABLE_S else self._failures + 1
            pause = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
            self._restart_at = clock() + pause
            code = os.waitstatus_to_exitcode(status)
            if not self._stopping and not self._parked:
                _say("warning", f"system daemon ended ({code}); restart in {pause:.2f} s, services go on")
        elif not self._stopping and not self._parked and clock() >= self._restart_at:
            self._start_daemon()

    def _reap_strangers(self) -> None:
        """Bury orphans that the kernel gave to this process; known children are left to those who wait for them."""
        known = {self._daemon, *(home.pid for home in self._homes.values())}
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is None or ended.si_pid in known:
                    return
                os.waitpid(ended.si_pid, 0)
            except ChildProcessError:
                return

    def _finished(self) -> bool:
        if not self._stopping:
            return False
        if self._daemon and clock() > self._stopping:
            self._kill_daemon()
        return not self._daemon

    def _resume(self, _number: int, _frame: object) -> None:
        if self._parked:
            self._parked, self._restart_at = False, 0.0
            _say("info", "started again: the daemon finds what runs")

    def _stop(self, number: int, _frame: object) -> None:
        again = bool(self._stopping)
        self._stopping = clock() if again else clock() + _STOP_LIMIT_S
        if self._daemon:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._daemon, signal.SIGKILL if again else number)

    def _can_isolate(self, wish: str) -> bool:
        if wish == "marker" or os.geteuid() != 0:
            return False
        try:
            kernelcalls.share_mounts()
        except OSError as error:
            _say("warning", f"no PID namespaces: {error}")
            return False
        return True


def _armed(settings: dict[str, Any]) -> Watchdog | None:
    """Return the watchdog that is configured, if it can be had. Raises ``SystemExit`` when it must be had."""
    if not settings:
        return None
    try:
        watchdog = Watchdog(settings["device"], settings["timeout_s"], settings["margin_s"])
    except OSError as error:
        if settings["required"]:
            _say("error", f"no watchdog, and watchdog_mode is required: {error}")
            raise SystemExit(1) from error
        _say("warning", f"no watchdog: {error}")
        return None
    _say("info", f"{settings['device']} resets this machine {watchdog.timeout_s} s after the guard hangs")
    return watchdog


def _new_incarnation(last: str) -> str:
    return next_incarnation(last, int(time.time() * 1000), os.urandom(4).hex())


def _say(level: str, text: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    sys.stderr.write(f"{stamp}Z {level} guard: {text}\n")
    sys.stderr.flush()


def _precedence() -> None:
    """Run before everything else after a pause of the whole machine, and never wait for a page."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(10))


def main() -> int:
    """Entry point: ``python -m holdfast.cluster.service.guard JSON``."""
    settings = json.loads(sys.argv[1])
    kernelcalls.adopt_orphans()
    _precedence()
    return _Guard(settings).run()


if __name__ == "__main__":
    sys.exit(main())
