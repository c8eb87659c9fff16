"""Run in a mount namespace on a small file system of its own: a copy-on-write on a disk that is full.

``python fulldisk.py DIRECTORY``; exits 0 when the copy failed, its source never, and all of it survived a new start.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from holdfast.replication.array import flashcopy, storage
from holdfast.replication.model.flash import FlashOptions
from holdfast.replication.model.volumes import Volume
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.media import Media

IMAGE, MIB = "IBM.2107-75FA120", 1 << 20
OPTIONS = FlashOptions(persist=True, record=True, background_copy=False)


def fill_up(path: Path) -> None:
    """Write until there is no room."""
    for block in (65536, 512):
        with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * block)
    assert os.statvfs(path).f_bavail == 0


def write(engine: Engine, volume: str, place: int, byte: int) -> None:
    """Write one MiB as a host does."""
    engine.write(volume, place * MIB, bytes([byte]) * MIB, MIB)


def main(directory: Path) -> None:
    """Carry out the scene."""
    engine = Engine(Media(directory / "array"), IMAGE)
    for name in ("1000", "1001", "1002"):
        engine.commit(storage.create_volume(engine.machine, Volume(name, name, 8 * MIB)))
    for place in range(8):
        write(engine, "1000", place, 1)
    engine.commit(flashcopy.make_flash(engine.machine, "1000", "1001", OPTIONS, 1.0))
    engine.commit(flashcopy.make_flash(engine.machine, "1000", "1002", FlashOptions(background_copy=False), 1.0))
    fill_up(directory / "filler")
    for place in range(8):
        write(engine, "1000", place, 2)
    assert engine.read("1000", 0, 8 * MIB) == b"\2" * 8 * MIB, "the source never fails"
    failed = {target: flash.failed for target, flash in engine.image.flashes.items()}
    assert all("No space left" in reason for reason in failed.values()), failed
    for turn in range(20):
        fill_up(directory / "filler")
        engine.commit(storage.revoke(engine.machine, "hosta", turn))
    engine.media.close()
    again = Engine(Media(directory / "array"), IMAGE)
    assert {target: flash.failed for target, flash in again.image.flashes.items()} == failed
    assert again.read("1000", 0, 8 * MIB) == b"\2" * 8 * MIB
    os.unlink(directory / "filler")
    for target in ("1001", "1002"):
        again.commit(flashcopy.remove_flash(again.machine, "1000", target))
    again.commit(flashcopy.make_flash(again.machine, "1000", "1001", OPTIONS, 2.0))
    write(again, "1000", 3, 3)
    assert again.read("1001", 0, 8 * MIB) == b"\2" * 8 * MIB, "with room there are copies again"
    again.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
