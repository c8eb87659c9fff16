"""The hardware watchdog in the guard's hand: if the guard itself hangs, the machine is reset before others take over.

The guard feeds it while that is safe (:func:`~holdfast.cluster.plan.deadline.may_feed`): without a lease, or if the
watchdog would still fire before the others act on the lease's end. So a guard that kills in time is never reset, and
one that does not is gone when its groups start elsewhere. Stopped cleanly it is disarmed by the magic letter; a guard
that dies leaves it running, on purpose. Few imports, as the guard has.
"""

from __future__ import annotations

import contextlib
import os
import struct
from fcntl import ioctl

from holdfast.cluster.plan.deadline import may_feed

WDIOC_SETTIMEOUT = 0xC0045706
FEEDS_PER_TIMEOUT = 4


class Watchdog:
    """An armed watchdog. ``timeout_s`` is what the device took, in whole seconds."""

    def __init__(self, device: str, timeout_s: int, margin_s: float) -> None:
        """Open ``device`` and set its timeout. Raises ``OSError`` when it cannot be opened or does not take it."""
        self._margin_s, self._fd = margin_s, os.open(device, os.O_WRONLY | os.O_CLOEXEC)
        try:
            taken = struct.unpack("i", ioctl(self._fd, WDIOC_SETTIMEOUT, struct.pack("i", timeout_s)))[0]
            if not 0 < taken <= timeout_s:
                raise OSError(f"{device} makes {taken} s of a timeout of {timeout_s} s")
        except OSError:
            self.disarm()
            raise
        self.timeout_s = int(taken)
        self._fed_at = -1e9

    @property
    def period_s(self) -> float:
        """How often :meth:`look` wants to be called."""
        return self.timeout_s / FEEDS_PER_TIMEOUT

    def look(self, now: float, deadline: float) -> None:
        """Feed it if that is due and safe. ``deadline`` is that of the lease, 0 for none; both on the guard's clock."""
        if now - self._fed_at >= self.period_s / 2 and may_feed(now, deadline, self.timeout_s, self._margin_s):
            with contextlib.suppress(OSError):
                os.write(self._fd, b"\0")
                self._fed_at = now

    def disarm(self) -> None:
        """Stop it: nothing runs here any more that it would have to end."""
        with contextlib.suppress(OSError):
            os.write(self._fd, b"V")
        os.close(self._fd)
