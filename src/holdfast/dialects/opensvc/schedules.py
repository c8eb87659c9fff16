"""``print schedule``: what runs when, and when it ran last. Pure text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from holdfast.dialects.opensvc.service import Sync

_HEAD = ("Action", "Last Run", "Config Parameter", "Schedule Definition")


def rows_of(syncs: Sequence[Sync], last: Mapping[str, float]) -> list[tuple[str, str, str, str]]:
    """Return a row for each sync resource; ``last`` holds the times of the last runs by rid."""
    rows = []
    for one in syncs:
        ran = last.get(one.resource.rid)
        when = datetime.fromtimestamp(ran).strftime("%Y-%m-%d %H:%M:%S") if ran else "-"
        text = one.schedule.text if one.schedule.text not in ("", "@0") else "-"
        rows.append(("sync_all", when, one.schedule_key, text))
    return rows


def table(rows: Sequence[tuple[str, str, str, str]]) -> str:
    """Return the rows below their headings, as branches of a tree."""
    branched = [(f"{'`-' if number == len(rows) else '|-'} {row[0]}", *row[1:]) for number, row in enumerate(rows, 1)]
    cells = [_HEAD, *branched]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
