"""``holdfast array repair``: bring an array back whose state file or bitmaps were damaged.

It goes by the best there is: the state file when only bitmaps are gone, else the generation before, else the volumes'
files alone. What it cannot prove it gives up (``array.repair``). The damaged file is kept beside the new one. The
volumes' bytes are never touched.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from holdfast.kernel.errors import InputError
from holdfast.replication.array import repair
from holdfast.replication.model.volumes import ArrayImage
from holdfast.replication.service.media import Media
from holdfast.replication.service.statefile import CURRENT, DAMAGED, PREVIOUS, read_state


def repair_array(directory: Path, image_id: str, *, trust_access: bool, dry_run: bool) -> list[str]:
    """Repair the array whose files are in ``directory`` and return what was (or would be) done, one line each.

    ``trust_access``: go by the revocations that an earlier generation knows instead of barring every host. Raises
    :class:`HoldfastError` when the array runs, :class:`InputError` when the files are of another array.
    """
    if not directory.is_dir():
        raise InputError("is no directory of an array", file=str(directory), remedy="check `directory` in the file")
    media = Media(directory)
    try:
        image, told = _best(directory, image_id)
        lost = frozenset(media.damaged_bits(image))
        whole = bool(told)
        if not whole and not lost:
            return ["nothing is damaged"]
        if whole:
            barred = None if trust_access else int(time.time() * 1000)
            image, more = repair.rebuild(image, _files(directory), barred)
            told += more
        change, more = repair.distrust(image, None if whole else lost)
        if not dry_run:
            if whole and (directory / CURRENT).exists():
                os.replace(directory / CURRENT, directory / DAMAGED)
            media.restore(change.image, dict(change.fresh))
        return told + more
    finally:
        media.close()


def _best(directory: Path, image_id: str) -> tuple[ArrayImage, list[str]]:
    """Return the best image there is; what is told is empty when it is the current one."""
    told: list[str] = []
    for name in (CURRENT, PREVIOUS):
        if not (directory / name).exists():
            told.append(f"{name}: missing")
            continue
        try:
            image = read_state(directory / name)
        except InputError as error:
            told.append(f"{name}: {error.message}")
            continue
        if image.image != image_id:
            raise InputError(f"holds array {image.image}, not {image_id}", file=str(directory), remedy="check --config")
        return image, [*told, f"{name}: used"] if told else []
    return ArrayImage(image_id), [*told, "only the volumes' files are left: relations are gone"]


def _files(directory: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_size for path in sorted((directory / "volumes").glob("*.img"))}
