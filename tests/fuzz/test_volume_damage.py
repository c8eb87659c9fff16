"""A bit flipped anywhere in a volume, and a volume cut anywhere: one record is lost at most, and it is named."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.backup.drivers.files import FileMedia
from holdfast.backup.service.inventory import Inventory, records_of
from holdfast.backup.service.volumeformat import GroupIndex, VolumeHeader, pack_header, seal

KEY = b"k" * 32
RECORDS = 12
FLIPS = 400


def keys(_id: str) -> bytes:
    return KEY


@pytest.fixture
def volume(tmp_path: Path, rng: random.Random) -> tuple[FileMedia, Path, list[bytes]]:
    """A volume of twelve records of all sizes, and their uuids in order."""
    uuids = [rng.randbytes(16) for _ in range(RECORDS)]
    data = pack_header(VolumeHeader("V", "DELHI", "POOL", 1))
    for uuid in uuids:
        content = rng.randbytes(rng.randrange(1, 3_000))
        data += seal(GroupIndex(uuid, "POOL/1", len(content), (os.urandom(32),), (len(content),)), content, KEY)
    path = tmp_path / "pool" / "V"
    media = FileMedia(path.parent)
    path.write_bytes(data)
    return media, path, uuids


def found(media: FileMedia) -> tuple[list[bytes], list[str]]:
    """Return the uuids of what proves good, and what is named as damaged."""
    inventory = Inventory()
    inventory.look("here", media, "DELHI")
    damaged = list(inventory.damaged)
    return [r.index.uuid for v in inventory.volumes for r in records_of(v, keys, damaged)], damaged


def flip(path: Path, data: bytes, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    path.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])


def cut(path: Path, data: bytes, rng: random.Random) -> None:
    path.write_bytes(data[: rng.randrange(len(data))])


def test_a_flipped_bit_costs_one_record(volume: tuple[FileMedia, Path, list[bytes]], rng: random.Random) -> None:
    media, path, uuids = volume
    data = path.read_bytes()
    assert found(media) == (uuids, [])
    for _ in range(FLIPS):
        flip(path, data, rng)
        good, damaged = found(media)
        assert len(good) >= RECORDS - 1
        assert [uuid for uuid in uuids if uuid in good] == good, "in order, none twice, none invented"
        assert len(good) == RECORDS - 1 or damaged, "what is damaged is named"


def test_a_cut_volume_keeps_what_lies_before_the_cut(
    volume: tuple[FileMedia, Path, list[bytes]], rng: random.Random
) -> None:
    media, path, uuids = volume
    data = path.read_bytes()
    for _ in range(60):
        cut(path, data, rng)
        good, _damaged = found(media)
        assert good == uuids[: len(good)]


@pytest.mark.parametrize("harm", [flip, cut])
def test_harm_upon_harm_never_invents_a_record(
    volume: tuple[FileMedia, Path, list[bytes]], rng: random.Random, harm: Callable[[Path, bytes, random.Random], None]
) -> None:
    media, path, uuids = volume
    for _ in range(40):
        harm(path, path.read_bytes() or b"x", rng)
        good, _damaged = found(media)
        assert set(good) <= set(uuids)
