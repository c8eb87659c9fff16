"""A line on the terminal that tells how far long work is, drawn over itself and gone at the end.

It goes to standard error and only to a terminal, so output that is kept or piped never holds it. The work does not
know of it: the line reads figures that rise by themselves.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from holdfast.kernel.sizes import format_size

_EVERY_S = 0.3
_CLEAR = "\r\x1b[K"


class Ticker:
    """Shows one line at a time; ``begun`` names what is worked on and where its figures are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: tuple[str, Any] | None = None

    def begun(self, name: str, figures: Any) -> None:
        """Go on with something else."""
        with self._lock:
            self._now = (name, figures)

    def line(self) -> str:
        """Return what is to be shown, or nothing."""
        with self._lock:
            now = self._now
        if now is None:
            return ""
        name, figures = now
        return (
            f"{name}: {figures.objects_inspected:,} objects seen ({format_size(figures.bytes_inspected)}), "
            f"{figures.objects:,} stored ({format_size(figures.bytes)}), {figures.objects_failed} failed"
        )


@contextmanager
def ticking(quiet: bool = False) -> Iterator[Callable[[str, Any], None] | None]:
    """Yield what work tells of its beginnings to, or None where nobody watches: no terminal, or ``quiet``."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    ticker, ended = Ticker(), threading.Event()

    def draw() -> None:
        while not ended.wait(_EVERY_S):
            width = shutil.get_terminal_size().columns
            sys.stderr.write(_CLEAR + ticker.line()[: width - 1])
            sys.stderr.flush()

    thread = threading.Thread(target=draw, name="progress", daemon=True)
    thread.start()
    try:
        yield ticker.begun
    finally:
        ended.set()
        thread.join()
        sys.stderr.write(_CLEAR)
        sys.stderr.flush()
