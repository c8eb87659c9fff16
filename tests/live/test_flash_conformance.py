"""One suite for every way of making point-in-time copies: an array through dscli, reflinked files, btrfs subvolumes.

What a way cannot do it says by its abilities, and then refuses in so many words.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest
from arraylab import A, Lab
from test_dscli import Dscli

from holdfast.continuity.service.arraycopies import ArrayCopies
from holdfast.kernel.errors import HoldfastError, Refused
from holdfast.replication.drivers.ds8000 import Console, Ds8000
from holdfast.replication.drivers.filecopies import KINDS
from holdfast.replication.ports import FlashCopies, Pair

BLOCK = 4096


class Ground(ABC):
    """A way of making copies, two pairs, and how their bytes are written and read."""

    copies: FlashCopies
    pairs: list[Pair]

    @abstractmethod
    def write(self, name: str, text: bytes) -> None: ...

    @abstractmethod
    def read(self, name: str) -> bytes: ...


class ArrayGround(Ground):
    """The software array, driven through the dscli program as a DS8000 is."""

    def __init__(self, lab: Lab, dscli: Dscli) -> None:
        self.box, client = lab.a, lab.a.client
        program = (sys.executable, "-m", "holdfast.app.main", "dscli")
        console = Console(program, lab.a.management, "admin", str(dscli.pwfile), environment=dscli.environment)
        self.copies = ArrayCopies(
            Ds8000(console, A),
            lambda: client.run("flashes").rows,
            lambda: client.run("connections").rows,
            lambda volumes: client.run("digest", volumes).rows,
        )
        self.pairs = [("1260", "1360"), ("1261", "1361")]
        lab.a.create("1260", "1261", "1360", "1361")

    def write(self, name: str, text: bytes) -> None:
        with self.box.open(volume=name) as host:
            host.pwrite(text.ljust(BLOCK), 0, fua=True)

    def read(self, name: str) -> bytes:
        with self.box.open(volume=name) as host:
            return host.pread(BLOCK, 0).rstrip()


class FileGround(Ground):
    """A directory of a real file system; ``subvolumes`` says whether sources are subvolumes or files."""

    def __init__(self, place: Path, kind: str) -> None:
        self.place, self.kind, self.copies = place, kind, KINDS[kind]()
        self.pairs = [(f"{place}/one", f"{place}/one.copy"), (f"{place}/two", f"{place}/two.copy")]
        for source, _ in self.pairs:
            if kind == "btrfs":
                subprocess.run(["btrfs", "-q", "subvolume", "create", source], check=True, capture_output=True)
            else:
                Path(source).touch()

    def _file(self, name: str) -> Path:
        return Path(name, "data") if self.kind == "btrfs" else Path(name)

    def write(self, name: str, text: bytes) -> None:
        with self._file(name).open("r+b" if self._file(name).exists() else "wb") as file:
            file.truncate(0)
            file.write(text)

    def read(self, name: str) -> bytes:
        return self._file(name).read_bytes()


@contextlib.contextmanager
def file_system(directory: Path, make: list[str]) -> Iterator[Path]:
    """Mount a new file system on a loop device."""
    image, place = directory / "image", directory / "place"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(320 << 20)
    subprocess.run([*make, str(image)], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


XFS, BTRFS, EXT4 = ["mkfs.xfs", "-q", "-m", "reflink=1"], ["mkfs.btrfs", "-q"], ["mkfs.ext4", "-q"]
WAYS = {"reflink-xfs": ("reflink", XFS), "reflink-btrfs": ("reflink", BTRFS), "btrfs": ("btrfs", BTRFS)}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems: needs root")


@pytest.fixture(params=["array", *(pytest.param(name, marks=needs_root) for name in WAYS)])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    if request.param == "array":
        lab = request.getfixturevalue("lab")
        yield ArrayGround(lab, Dscli(lab, tmp_path))
        return
    kind, make = WAYS[request.param]
    with file_system(tmp_path, make) as place:
        yield FileGround(place, kind)


def test_a_copy_keeps_its_moment_until_the_next(ground: Ground) -> None:
    pair = ground.pairs[0]
    ground.write(pair[0], b"first")
    assert ground.copies.relations([pair]) == {}
    ground.copies.make([pair])
    made = ground.copies.relations([pair])[pair]
    ground.write(pair[0], b"second")
    assert ground.read(pair[1]) == b"first"
    assert ground.read(pair[0]) == b"second"
    ground.write(pair[1], b"tried out")
    assert ground.read(pair[0]) == b"second", "a copy may be written"
    time.sleep(1.1)  # dscli tells points in time to the second
    ground.copies.resync([pair])
    renewed = ground.copies.relations([pair])[pair]
    assert renewed.at != made.at
    assert (renewed.recording, renewed.persistent) == (True, True)
    assert ground.read(pair[1]) == b"second"
    digests = ground.copies.digests(pair)
    assert digests[pair[0]] == digests[pair[1]]
    ground.copies.remove([pair])
    assert ground.copies.relations([pair]) == {}


def test_what_is_there_is_not_made_and_what_is_not_there_is_not_renewed(ground: Ground) -> None:
    pair, other = ground.pairs
    ground.write(pair[0], b"first")
    for act in (ground.copies.resync, ground.copies.remove):
        with pytest.raises(HoldfastError):
            act([pair])
    ground.copies.make([pair])
    ground.write(pair[0], b"second")
    with pytest.raises(Refused):
        ground.copies.make([pair])
    assert ground.read(pair[1]) == b"first", "what is refused changes nothing"
    assert ground.copies.relations([pair, other]).keys() == {pair}


def test_several_get_one_moment_or_a_refusal(ground: Ground) -> None:
    for source, _ in ground.pairs:
        ground.write(source, b"first")
    if not ground.copies.abilities.together:
        with pytest.raises(Refused, match="one point in time") as refused:
            ground.copies.make(ground.pairs)
        assert refused.value.refusal.remedy
        assert ground.copies.relations(ground.pairs) == {}
    ground.copies.make(ground.pairs, quiet=True)
    for source, _ in ground.pairs:
        ground.write(source, b"second")
    ground.copies.resync(ground.pairs, quiet=True)
    assert [ground.read(target) for _, target in ground.pairs] == [b"second", b"second"]


def test_a_source_gets_back_what_its_copy_holds_or_a_refusal(ground: Ground) -> None:
    pair = ground.pairs[0]
    ground.write(pair[0], b"good")
    ground.copies.make([pair])
    ground.write(pair[0], b"spoilt")
    if not ground.copies.abilities.reverse:
        with pytest.raises(Refused) as refused:
            ground.copies.reverse([pair])
        assert refused.value.refusal.remedy
        return
    ground.copies.reverse([pair])
    assert ground.read(pair[0]) == b"good"
    assert ground.copies.relations([pair]).keys() == {pair}, "the copy stays"


# --- what only file systems meet -------------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("way", WAYS)
def test_a_crash_leaves_the_old_copy_and_the_next_run_cleans_up(way: str, tmp_path: Path) -> None:
    kind, make = WAYS[way]
    with file_system(tmp_path, make) as place:
        ground = FileGround(place, kind)
        pair = ground.pairs[0]
        ground.write(pair[0], b"first")
        ground.copies.make([pair])
        ground.write(pair[0], b"second")
        died = (
            "import os; from holdfast.replication.drivers import filecopies as f\n"
            "f._exchange = lambda *names: os._exit(9)\n"
            f"f.KINDS[{kind!r}]().resync([{pair!r}])\n"
        )
        assert subprocess.run([sys.executable, "-c", died], check=False).returncode == 9
        assert ground.read(pair[1]) == b"first"
        ground.copies.resync([pair])
        assert ground.read(pair[1]) == b"second"
        assert not [name for name in os.listdir(place) if name.endswith(".holdfast-new")]


@needs_root
def test_what_cannot_be_is_refused_with_the_remedy_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "e").mkdir()
    with file_system(tmp_path / "x", XFS) as xfs, file_system(tmp_path / "e", EXT4) as ext4:
        (xfs / "file").write_bytes(b"content")
        (ext4 / "file").write_bytes(b"content")
        (xfs / "link").symlink_to(xfs / "file")
        (xfs / "own").write_bytes(b"mine")
        for source, target, code in (
            (f"{ext4}/file", f"{ext4}/copy", "not-supported"),
            (f"{xfs}/file", f"{ext4}/copy", "other-file-system"),
            (f"{xfs}/link", f"{xfs}/copy", "no-source"),
            (f"{xfs}/none", f"{xfs}/copy", "no-source"),
            (f"{xfs}/file", f"{xfs}/file", "bad-pairs"),
            (f"{xfs}/file", f"{xfs}/own", "exists"),
            (f"{xfs}/file", f"{xfs}/nowhere/copy", "no-directory"),
            (f"{xfs}/../place/file", f"{xfs}/copy", "bad-path"),
        ):
            with pytest.raises(Refused) as refused:
                KINDS["reflink"]().make([(source, target)])
            assert (refused.value.refusal.code, bool(refused.value.refusal.remedy)) == (code, True), (source, target)
        with pytest.raises(Refused, match="not a btrfs subvolume"):
            KINDS["btrfs"]().make([(str(xfs), f"{xfs}/copy")])
        assert (xfs / "own").read_bytes() == b"mine"
        assert sorted(os.listdir(xfs)) == ["file", "link", "own"]


@needs_root
def test_a_copy_that_is_attached_is_neither_renewed_nor_removed(tmp_path: Path) -> None:
    with file_system(tmp_path, XFS) as place:
        ground = FileGround(place, "reflink")
        pair = ground.pairs[0]
        ground.write(pair[0], bytes(1 << 20))
        ground.copies.make([pair])
        loop = subprocess.run(["losetup", "-f", "--show", pair[1]], capture_output=True, text=True, check=True)
        try:
            assert ground.copies.users([pair[1]]) == {pair[1]: loop.stdout.strip()}
            for act in (ground.copies.resync, ground.copies.remove):
                with pytest.raises(Refused, match="in use by /dev/loop"):
                    act([pair])
        finally:
            subprocess.run(["losetup", "-d", loop.stdout.strip()], check=True)
        ground.copies.remove([pair])
