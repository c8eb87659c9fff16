"""A picture of arrays, their mirrored volumes, who is source, how far each target is behind. Pure: rows in, SVG out.

Arrays stand side by side, a volume is a box below its array, a pair an arrow from source to target: green in full
duplex, blue while it copies, amber when suspended, red where the two ends disagree about who is source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from holdfast.kernel.sizes import MIB, TRACK_BYTES

_WIDTH, _GAP, _ROW, _HEAD, _BOX = 220, 180, 46, 64, 30
COLOURS = {"Full Duplex": "#2e7d32", "Copy Pending": "#1565c0", "Suspended": "#b26a00"}
_DISAGREE, _INK, _PAPER = "#c62828", "#222", "#fafafa"


def behind(row: Mapping[str, Any]) -> str:
    """Return how far the target of a pair is behind, in words."""
    tracks = int(row["out_of_sync_tracks"])
    return "in step" if not tracks else f"{tracks * TRACK_BYTES / MIB:.1f} MiB behind"


def describe(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each pair: source, target, state, how far behind."""
    return [
        f"{row['source']} -> {row['target']}  {row['state']}"
        + (f" ({row['reason']})" if row["reason"] not in ("-", "") else "")
        + f", {behind(row)}"
        for row in rows
    ]


def draw(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the picture of the pairs in ``rows`` as an SVG document."""
    ends = [(_split(row["source"]), _split(row["target"])) for row in rows]
    images = list(dict.fromkeys(image for pair in ends for image, _ in pair))
    volumes = {image: sorted({v for pair in ends for i, v in pair if i == image}) for image in images}
    tall = _HEAD + _ROW * max((len(found) for found in volumes.values()), default=0) + 20
    wide = max(1, len(images)) * (_WIDTH + _GAP) - _GAP + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{tall}" viewBox="0 0 {wide} {tall}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{wide}" height="{tall}" fill="{_PAPER}"/>',
        *_heads(),
    ]
    places = {(image, v): _place(images, volumes, image, v) for image in images for v in volumes[image]}
    for number, image in enumerate(images):
        left = 20 + number * (_WIDTH + _GAP)
        frame = f'<rect x="{left}" y="12" width="{_WIDTH}" height="{tall - 24}" fill="none" stroke="#999" rx="8"/>'
        parts += [frame, f'<text x="{left + 12}" y="36" fill="{_INK}" font-weight="bold">{escape(image)}</text>']
    for (_, volume), (x, y) in places.items():
        box = f'<rect x="{x}" y="{y}" width="{_WIDTH - 40}" height="{_BOX}" fill="#fff" stroke="{_INK}" rx="4"/>'
        parts += [box, f'<text x="{x + 10}" y="{y + 20}" fill="{_INK}">{escape(volume)}</text>']
    parts += [_arrow(row, places[source], places[target]) for row, (source, target) in zip(rows, ends, strict=True)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _heads() -> list[str]:
    marks = []
    for colour in (*COLOURS.values(), _DISAGREE):
        path = f'<path d="M0,0 L10,5 L0,10 z" fill="{colour}"/>'
        size = 'viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"'
        marks.append(f'<marker id="m{colour[1:]}" {size}>{path}</marker>')
    return ["<defs>", *marks, "</defs>"]


def _split(end: str) -> tuple[str, str]:
    image, _, volume = end.rpartition("/")
    return image, volume


def _place(images: Sequence[str], volumes: Mapping[str, Sequence[str]], image: str, volume: str) -> tuple[int, int]:
    return 40 + images.index(image) * (_WIDTH + _GAP), _HEAD + volumes[image].index(volume) * _ROW


def _arrow(row: Mapping[str, Any], source: tuple[int, int], target: tuple[int, int]) -> str:
    state = str(row["state"]).removeprefix("Target ")
    colour = _DISAGREE if row["write_inhibited"] else COLOURS.get(state, _INK)
    rightward = source[0] < target[0]
    start = source[0] + (_WIDTH - 40 if rightward else 0)
    end = target[0] + (0 if rightward else _WIDTH - 40)
    y1, y2 = source[1] + _BOX // 2, target[1] + _BOX // 2
    dashed = "" if state == "Full Duplex" else ' stroke-dasharray="6 4"'
    line = f'<line x1="{start}" y1="{y1}" x2="{end}" y2="{y2}" stroke="{colour}" stroke-width="2"{dashed}'
    text = escape(f"{row['state']}, {behind(row)}")
    middle = f'x="{(start + end) // 2}" y="{(y1 + y2) // 2 - 5}"'
    label = f'<text {middle} text-anchor="middle" font-size="10" fill="{colour}">{text}</text>'
    return f'{line} marker-end="url(#m{colour[1:]})"/>{label}'
