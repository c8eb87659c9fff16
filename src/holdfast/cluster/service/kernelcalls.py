"""The few kernel calls that the guard needs and Python 3.11 does not offer, through libc.

Kept apart from everything else and free of imports beyond the standard library's core: the guard must start in
milliseconds and must not fail because something larger did.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CLONE_NEWNS = 0x00020000
_CLONE_NEWPID = 0x20000000
_SYS_CLONE = {"x86_64": 56, "aarch64": 220}
_MS_REC, _MS_PRIVATE, _MS_SHARED = 0x4000, 1 << 18, 1 << 20
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
MNT_DETACH = 2


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send this process ``number`` when the thread that made it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0), "prctl")


_DESCRIPTORS = 1 << 20


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def fork_into_namespaces() -> int:
    """Fork; the child is the first process of new PID and mount namespaces. Returns like :func:`os.fork`.

    The raw call skips Python's own fork handlers: only a process with one thread may use it.
    """
    number = _SYS_CLONE.get(os.uname().machine)
    if number is None:
        raise OSError("this machine's architecture is not known")
    flags = _CLONE_NEWNS | _CLONE_NEWPID | int(signal.SIGCHLD)
    zero = ctypes.c_void_p(0)
    return _check(int(_libc.syscall(number, ctypes.c_long(flags), zero, zero, zero, zero)), "clone")


_PRECEDENCE = -10


def take_precedence() -> None:
    """Get a turn before ordinary processes, where that is allowed: what serves others must not wait for a busy one."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRECEDENCE)


def usual_priority(session: int = 0) -> None:
    """Give this process, or the one that leads ``session`` and what it has started there, the priority of ordinary
    processes. From outside, for nothing may run between fork and exec in a process that has threads."""
    with contextlib.suppress(OSError):
        kind = os.PRIO_PGRP if session else os.PRIO_PROCESS
        os.setpriority(kind, session, max(0, os.getpriority(kind, session)))


def close_elsewhere(descriptor: int) -> int:
    """Close a descriptor so that whatever its last close must wait for is waited for by a child, which only does that.

    Return the child's process id: when it has ended, so has what the descriptor held. The caller buries it.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        close_all_but(reader, descriptor)
        os.read(reader, 1)
        os._exit(0)
    os.close(descriptor)
    os.close(reader)
    os.close(writer)
    return child


def close_all_but(*kept: int) -> None:
    """Close every descriptor from 3 on except those kept. What a fork without exec inherits, it holds open."""
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, _DESCRIPTORS)


def share_mounts() -> None:
    """Let mounts made here appear in namespaces copied from this one, as systemd does at boot. Idempotent."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as table:
        rows = [line.split() for line in table]
    if any(row[4] == "/" and any(mark.startswith("shared:") for mark in row[6:]) for row in rows):
        return
    _check(_libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_SHARED), None), "mount --make-rshared /")


def own_proc() -> None:
    """Give this PID namespace a ``/proc`` of its own that no other namespace sees."""
    _check(_libc.mount(None, b"/proc", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None), "mount --make-private")
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    _check(_libc.mount(b"proc", b"/proc", b"proc", flags, None), "mount /proc")


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
