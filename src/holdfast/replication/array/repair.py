"""What an array may still believe when its state or a bitmap was damaged. Pure.

The rule: nothing is taken to be equal that is not proven to be. A pair keeps its ends and its role, counts every track
as changed and is suspended where it is source; the store's record still decides whether it may be source at all. A
FlashCopy whose bitmaps are gone is invalid. When the state itself comes from an earlier generation, revocations may be
missing from it: every host is barred up to the moment of the repair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from holdfast.kernel.sizes import TRACK_BYTES
from holdfast.replication.array.bitmap import FULL, Bitmap
from holdfast.replication.array.machine import EVERY_HOST, Change
from holdfast.replication.model.pairs import Pair, Phase, Reason, Role, Standing
from holdfast.replication.model.volumes import ArrayImage, Volume

_SEQUENCE_LEAP = 1_000_000
"""How far the counter leaps, so that no name and no confirmation of the lost generation is given again."""
WHY = "the array's state was damaged and repaired"


def rebuild(image: ArrayImage, files: Mapping[str, int], barred_up_to: int | None) -> tuple[ArrayImage, list[str]]:
    """Return an earlier image brought in line with the volumes' files (size by volume), and what was done.

    ``barred_up_to`` bars every host up to that key; None trusts the revocations that the image knows.
    """
    volumes, told = dict(image.volumes), []
    for volume in sorted(files.keys() - volumes.keys()):
        volumes[volume] = Volume(volume, volume, files[volume] // 512 * 512)
        told.append(f"volume {volume}: found its file, added without relations")
    for volume in sorted(volumes.keys() - files.keys()):
        told.append(f"volume {volume}: its file is missing, it will be empty")
    for volume in sorted(volumes.keys() & files.keys()):
        if files[volume] > volumes[volume].size_bytes:
            volumes[volume] = replace(volumes[volume], size_bytes=files[volume] // 512 * 512)
    barred = dict(image.barred)
    if barred_up_to is not None:
        barred[EVERY_HOST] = max(barred_up_to, barred.get(EVERY_HOST, -1))
        told.append(f"hosts: every key up to {barred_up_to} is barred, because revocations may have been lost")
    return replace(image, volumes=volumes, barred=barred, sequence=image.sequence + _SEQUENCE_LEAP), told


def distrust(image: ArrayImage, damaged: frozenset[str] | None) -> tuple[Change, list[str]]:
    """Return the change that gives up the damaged bitmaps (None: all of them), and what it means."""
    number, told = image.sequence + 1, []
    fresh: dict[str, Bitmap] = {}
    pairs, flashes = dict(image.pairs), dict(image.flashes)
    for volume, pair in image.pairs.items():
        if damaged is None or pair.bits in damaged:
            tracks = -(-image.volumes[volume].size_bytes // TRACK_BYTES)
            pairs[volume] = _out_of_sync(pair, f"pair-{volume}-{number}{FULL}")
            fresh[pairs[volume].bits] = Bitmap.full(tracks)
            told.append(f"pair {volume} with {pair.remote}: every track counts as changed")
    for target, flash in image.flashes.items():
        if damaged is None or damaged.intersection(flash.bitmaps):
            name = f"uncopied-{target}-{number}"
            fresh[name] = Bitmap(image.volumes[flash.source].tracks)
            options = replace(flash.options, record=False, persist=True)
            flashes[target] = replace(
                flash,
                uncopied=name,
                source_changed="",
                target_changed="",
                earlier=None,
                options=options,
                failed=flash.failed or WHY,
            )
            told.append(f"FlashCopy {flash.source}:{target}: the copy is invalid")
    return Change(replace(image, pairs=pairs, flashes=flashes, sequence=number), fresh), told


def _out_of_sync(pair: Pair, bits: str) -> Pair:
    if pair.standing.role is Role.TARGET:
        return replace(pair, bits=bits)
    return replace(pair, bits=bits, standing=Standing(Role.SOURCE, Phase.SUSPENDED, Reason.INTERNAL_SOURCE))
