"""Text as TSM's clients print it: tables, comma- and tab-separated rows, the incremental's summary."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from holdfast.backup.service.client.incremental import Figures
from holdfast.backup.service.client.restore import RestoreFigures

_WIDTH = 14
_WIDE = frozenset({"Message", "Volume Name", "Storage Pool Name", "Filespace Name", "Object Name", "Date/Time"})


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under wrapped headings, as dsmadmc prints them."""
    widths = [
        max(min(len(name), _WIDTH) if name not in _WIDE else len(name), *(len(row[n]) for row in rows), 1)
        for n, name in enumerate(columns)
    ]
    headings = [_wrap(name, width) for name, width in zip(columns, widths, strict=True)]
    depth = max(len(lines) for lines in headings)
    out = []
    for level in range(depth):
        cells = (lines[level] if level < len(lines) else "" for lines in headings)
        out.append("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    out.append("  ".join("-" * width for width in widths))
    for row in rows:
        out.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return "\n".join(out)


def plain(rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns of equal width, without headings: what -DATAONLY prints."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _wrap(name: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in name.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word[:width])
    return lines or [""]


def separated(rows: Sequence[Sequence[str]], delimiter: str) -> str:
    """Return rows for programs: quoted only where needed, plain decimals."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue().rstrip("\n")


def size(count: int) -> str:
    """Return bytes as the summary shows them."""
    value = float(count)
    for unit in (" B", "KB", "MB", "GB"):
        if value < 1024 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == " B" else f"{value:.2f} {unit}"
        value /= 1024
    return ""


def elapsed(seconds: float) -> str:
    """Return hh:mm:ss."""
    whole = int(seconds + 0.999)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def backup_summary(done: Figures, verb: str = "backed up") -> str:
    """Return the summary of a backup or (``verb`` archived) an archive, in the order of section 11.2."""
    rate = done.transferred_bytes / 1024 / done.seconds if done.seconds else 0.0
    saved = 100 * (1 - done.transferred_bytes / done.bytes) if done.bytes else 0.0
    lines = [
        ("Total number of objects inspected:", f"{done.objects_inspected:,}"),
        (f"Total number of objects {verb}:", f"{done.objects:,}"),
        ("Total number of objects updated:", f"{done.objects_updated:,}"),
        ("Total number of objects rebound:", f"{done.objects_rebound:,}"),
        ("Total number of objects deleted:", "0"),
        ("Total number of objects expired:", f"{done.objects_expired:,}"),
        ("Total number of objects failed:", f"{done.objects_failed:,}"),
        ("Total number of objects encrypted:", f"{done.objects:,}"),
        ("Total number of objects grew:", "0"),
        ("Total number of retries:", f"{done.retries:,}"),
        ("Total number of bytes inspected:", size(done.bytes_inspected)),
        ("Total number of bytes transferred:", size(done.transferred_bytes)),
        ("Data transfer time:", f"{done.seconds:.2f} sec"),
        ("Network data transfer rate:", f"{rate:,.2f} KB/sec"),
        ("Aggregate data transfer rate:", f"{rate:,.2f} KB/sec"),
        ("Objects compressed by:", f"{max(saved, 0):.0f}%"),
        ("Total data reduction ratio:", f"{max(saved, 0):.2f}%"),
        ("Elapsed processing time:", elapsed(done.seconds)),
    ]
    return "\n".join(f"{label:<37}{value:>14}" for label, value in lines)


def restore_summary(done: RestoreFigures, verb: str = "restored") -> str:
    """Return the summary of a restore or (``verb`` retrieved) a retrieve."""
    rate = done.transferred_bytes / 1024 / done.seconds if done.seconds else 0.0
    lines = [
        (f"Total number of objects {verb}:", f"{done.objects:,}"),
        ("Total number of objects failed:", f"{done.objects_failed:,}"),
        ("Total number of bytes transferred:", size(done.transferred_bytes)),
        ("Data transfer time:", f"{done.seconds:.2f} sec"),
        ("Network data transfer rate:", f"{rate:,.2f} KB/sec"),
        ("Aggregate data transfer rate:", f"{rate:,.2f} KB/sec"),
        ("Elapsed processing time:", elapsed(done.seconds)),
    ]
    return "\n".join(f"{label:<37}{value:>14}" for label, value in lines)
