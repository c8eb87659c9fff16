"""``--watch``: a table that is drawn again and again, with progress and the time that is left.

On a terminal the table stays in its place; elsewhere each state that differs from the last is printed below it, with
``--json`` as one document a line, so that a program can follow.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from holdfast.cli.frame import table

Rows = list[dict[str, Any]]
EVERY_S = 1.0
_HOME_AND_CLEAR = "\x1b[H\x1b[J"


watch_option = click.option(
    "--watch", "watched", is_flag=True, help="Show it again and again, with progress and the time left, until Ctrl-C."
)
"""The option of commands that can."""


def tracks_left(row: dict[str, Any]) -> tuple[int, int]:
    """Return how many tracks a copy has left to do, of how many."""
    return int(row["out_of_sync_tracks"]), int(row["tracks_to_copy"] or row["tracks_total"] or 0)


class Progress:
    """How far each row's work is and when it ends at the pace that was seen since it was first looked at."""

    def __init__(self, left_of: Callable[[dict[str, Any]], tuple[int, int]] = tracks_left) -> None:
        self._left_of = left_of
        self._first: dict[str, tuple[float, int]] = {}

    def told(self, row: dict[str, Any], now: float) -> tuple[str, str]:
        """Return share and time left, empty where nothing is to be copied."""
        left, total = self._left_of(row)
        began, before = self._first.setdefault(row["id"], (now, left))
        if not left or not total:
            self._first.pop(row["id"], None)
            return ("100 %", "") if total else ("", "")
        share = f"{max(0, total - left) * 100 // total} %"
        pace = (before - left) / (now - began) if now > began else 0.0
        return share, _duration(left / pace) if pace > 0 else "?"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def watch(
    fetch: Callable[[], Rows],
    columns: Sequence[str],
    as_json: bool,
    left_of: Callable[[dict[str, Any]], tuple[int, int]] = tracks_left,
) -> None:
    """Show what ``fetch`` returns once a second until interrupted; ``left_of``: what a row has left, of how much."""
    progress, last = Progress(left_of), ""
    for rows in _again(fetch):
        now = time.monotonic()
        shown = [{**row, **dict(zip(("progress", "left"), progress.told(row, now), strict=True))} for row in rows]
        if as_json:
            text = json.dumps(shown)
        else:
            headings = (*columns, "progress", "left")
            text = table(headings, [[row[name] for name in headings] for row in shown])
        if sys.stdout.isatty() and not as_json:
            sys.stdout.write(_HOME_AND_CLEAR + text + "\n")
        elif text != last:
            sys.stdout.write(text + "\n")
        sys.stdout.flush()
        last = text


def _again(fetch: Callable[[], Rows]) -> Iterator[Rows]:
    while True:
        yield fetch()
        time.sleep(EVERY_S)
