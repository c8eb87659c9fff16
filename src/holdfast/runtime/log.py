"""Where a daemon's log goes. A log that cannot be written (its disk is full, its reader is gone) must not end what it
tells of.
"""

from __future__ import annotations

import contextlib
from typing import TextIO

import structlog


class _Unfailing:
    """A text stream that drops what it cannot write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def log_to(stream: TextIO) -> None:
    """Let this process log to ``stream``, as far as it can."""
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(_Unfailing(stream)))  # type: ignore[arg-type]
