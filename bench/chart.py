"""A chart of lines on logarithmic axes, as SVG and without a library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _EDGE = 720, 420, 60
_COLOURS = ("#1f6feb", "#2da44e", "#bf3989", "#9a6700", "#57606a")


@dataclass(frozen=True, slots=True)
class Line:
    """A named row of points (x, y), all above 0."""

    name: str
    points: Sequence[tuple[float, float]]


def chart(title: str, across: str, lines: Sequence[Line], *more: Line) -> str:
    """Return the picture; ``more`` lines have their own unit on the horizontal axis, named in their name."""
    every = [*lines, *more]
    left, right = _range([x for line in every for x, _ in line.points])
    low, high = _range([y for line in every for _, y in line.points])

    def place(x: float, y: float) -> tuple[float, float]:
        over = (math.log10(x) - left) / (right - left)
        up = (math.log10(y) - low) / (high - low)
        return _EDGE + over * (_WIDTH - 2 * _EDGE), _HEIGHT - _EDGE - up * (_HEIGHT - 2 * _EDGE)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_EDGE}" y="24" font-size="16">{escape(title)}</text>',
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 12}">{escape(across)}</text>',
    ]
    for power in range(math.floor(left), math.ceil(right) + 1):
        if left <= power <= right:
            x, _ = place(10**power, 10**low)
            parts.append(f'<path d="M{x:.1f} {_EDGE}V{_HEIGHT - _EDGE}" stroke="#d0d7de"/>')
            parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _EDGE + 16}" text-anchor="middle">{10**power:,}</text>')
    for power in range(math.floor(low), math.ceil(high) + 1):
        if low <= power <= high:
            _, y = place(10**left, 10**power)
            parts.append(f'<path d="M{_EDGE} {y:.1f}H{_WIDTH - _EDGE}" stroke="#d0d7de"/>')
            parts.append(f'<text x="{_EDGE - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for number, line in enumerate(every):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line.points))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{_EDGE + 8}" y="{_EDGE + 14 + 16 * number}" fill="{colour}">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = math.log10(min(values)), math.log10(max(values))
    return (low - 0.1, high + 0.1) if high > low else (low - 1, high + 1)
