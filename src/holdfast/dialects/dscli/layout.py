"""How dscli lays out rows: the default table, ``delim``, ``stanza`` and ``xml``. Pure.

The default table has columns of fixed width, texts to the left, numbers to the right, and a ruler of ``=``; ``delim``
joins fields with the delimiter and does not escape it, as the original does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

Row = Sequence[str | int | float]


@dataclass(frozen=True, slots=True)
class Layout:
    """The format switches in force."""

    format: str = "default"
    delimiter: str = ","
    header: bool = True
    banner: bool = True
    verbose: bool = False
    page: int = 0
    """Rows of a page; 0: no paging."""


def lay_out(columns: Sequence[str], rows: Sequence[Row], layout: Layout) -> list[str]:
    """Return the lines that show the rows."""
    texts = [[_text(value) for value in row] for row in rows]
    if layout.format == "delim":
        return _delimited(columns, texts, layout)
    if layout.format == "stanza":
        width = max(len(name) for name in columns) + 1
        blocks = [[f"{name:<{width}}{value}" for name, value in zip(columns, row, strict=True)] for row in texts]
        return [line for block in blocks for line in (*block, "")]
    if layout.format == "xml":
        return _xml(columns, texts)
    return _table(columns, rows, texts, layout)


def _text(value: str | int | float) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _delimited(columns: Sequence[str], texts: list[list[str]], layout: Layout) -> list[str]:
    header = layout.delimiter.join(columns)
    lines = [header, "=" * len(header)] if layout.header else []
    return lines + [layout.delimiter.join(row) for row in texts]


def _table(columns: Sequence[str], rows: Sequence[Row], texts: list[list[str]], layout: Layout) -> list[str]:
    widths = [max(len(name), *(len(row[i]) for row in texts)) for i, name in enumerate(columns)]
    lines = []
    if layout.header:
        header = " ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True)).rstrip()
        lines = [header, "=" * max(len(header), sum(widths) + len(widths) - 1)]
    for row, text in zip(rows, texts, strict=True):
        cells = [
            cell.ljust(width) if isinstance(value, str) else cell.rjust(width)
            for value, cell, width in zip(row, text, widths, strict=True)
        ]
        lines.append(" ".join(cells).rstrip())
    return lines


def _xml(columns: Sequence[str], texts: list[list[str]]) -> list[str]:
    lines = ["<IRETURNVALUE>"]
    for row in texts:
        lines.append("  <INSTANCE>")
        for name, value in zip(columns, row, strict=True):
            lines.append(f"    <PROPERTY NAME={quoteattr(name)}><VALUE>{escape(value)}</VALUE></PROPERTY>")
        lines.append("  </INSTANCE>")
    return [*lines, "</IRETURNVALUE>"]
