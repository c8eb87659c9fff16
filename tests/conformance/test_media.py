"""Every driver that keeps volumes keeps the same promises: files, an S3 service, another server's archive objects."""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "live"))

import backup_lab
import s3lab

from holdfast.app.backupserver import build_core
from holdfast.backup.drivers.files import FileMedia
from holdfast.backup.drivers.objects import ObjectMedia, open_bucket
from holdfast.backup.ports import Media
from holdfast.kernel.errors import HoldfastError, InputError, Unavailable

Open = Callable[[], Media]


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Virtual volumes at a real server TOKYO; this process is DELHI."""
    lab = backup_lab.Lab(tmp_path_factory.mktemp("vault"))
    delhi, tokyo = lab.server("DELHI"), lab.server("TOKYO")
    tokyo.run("register node", name="DELHI", password="vaultpw", type="SERVER")
    host, _, port = tokyo.config.address.rpartition(":")
    delhi.run("define server", name="TOKYO", password="vaultpw", hladdress=host, lladdress=port, nodename="DELHI")
    delhi.run("define devclass", name="TARGET", devtype="SERVER", servername="TOKYO")
    delhi.stop()
    core = build_core(delhi.config)

    def open_one() -> Media:
        core.forget_media()
        return core.media_of_class("TARGET")

    yield open_one
    core.close()
    lab.close()


@pytest.fixture(params=["files", "s3", "virtual"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Open the same media as often as asked."""
    if request.param == "files":
        return lambda: FileMedia(tmp_path / "pool")
    if request.param == "s3":
        place = replace(s3lab.service(), prefix=uuid.uuid4().hex)
        return lambda: ObjectMedia(open_bucket(place))
    found: Open = request.getfixturevalue("vault")
    return found


@pytest.fixture
def name() -> str:
    return f"DELHI.BFS.{uuid.uuid4().hex[:9].upper()}"


def write(media: Media, name: str, at: int, *parts: bytes) -> int:
    appender = media.append(name, at)
    for part in parts:
        appender.write(part)
    appender.commit()
    size = appender.size_bytes
    appender.close()
    return size


def test_what_was_committed_is_read_by_position(opened: Open, name: str, rng: random.Random) -> None:
    parts = [rng.randbytes(rng.randrange(1, 3_000_000)) for _ in range(5)]
    media, at = opened(), 0
    for part in parts:
        at = write(media, name, at, part)
    whole, other = b"".join(parts), opened()
    assert at == len(whole)
    for _ in range(20):
        start = rng.randrange(len(whole))
        length = rng.randrange(1, min(len(whole) - start, 2_000_000) + 1)
        assert other.read(name, start, length) == whole[start : start + length]
    facts = other.facts(name)
    assert facts is not None
    assert facts.size_bytes == len(whole)
    assert facts.written_ns > 10**18


def test_a_large_commit_is_one_volume(opened: Open, name: str, rng: random.Random) -> None:
    block = rng.randbytes(5_000_000)
    media = opened()
    assert write(media, name, 0, *[block] * 15) == 75_000_000
    assert opened().read(name, 33_000_000, 9_000_000) == (block * 3)[3_000_000:12_000_000]


def test_what_was_never_committed_is_cut_off(opened: Open, name: str) -> None:
    media = opened()
    write(media, name, 0, b"kept")
    appender = media.append(name, 4)
    appender.write(b"never acknowledged " * 3_000_000)
    appender.close()
    media = opened()
    assert write(media, name, 4, b" and more") == 13
    assert opened().read(name, 0, 13) == b"kept and more"
    with pytest.raises(HoldfastError):
        opened().read(name, 0, 14)


def test_what_is_not_there_says_so(opened: Open, name: str) -> None:
    media = opened()
    assert media.facts(name) is None
    with pytest.raises(HoldfastError):
        media.read(name, 0, 1)
    with pytest.raises(HoldfastError):
        media.append(name, 100)


def test_a_volume_shorter_than_the_catalog_says_is_not_appended_to(opened: Open, name: str) -> None:
    media = opened()
    write(media, name, 0, b"1234")
    if name not in media.names():
        pytest.fail("the volume is not listed")
    with pytest.raises(HoldfastError):
        write(media, name, 5, b"5")
    assert media.read(name, 0, 4) == b"1234"


def test_names_and_deletion(opened: Open, name: str) -> None:
    media = opened()
    others = [f"{name}A", f"{name}B"]
    for one in (name, *others):
        write(media, one, 0, b"x" * 10)
    assert {name, *others} <= set(media.names())
    media.delete(name)
    left = set(opened().names())
    assert name not in left
    assert set(others) <= left


def test_s3_that_cannot_be_reached_or_used_is_told_apart(tmp_path: Path) -> None:
    place = s3lab.service()
    bad = tmp_path / "credentials"
    bad.write_bytes(b"only-one-line\n")
    bad.chmod(0o600)
    with pytest.raises(InputError, match="two lines"):
        open_bucket(replace(place, credentials=bad))
    bad.write_bytes(b"holdfast\nwrong\n")
    with pytest.raises(Unavailable, match="bucket"):
        ObjectMedia(open_bucket(replace(place, credentials=bad))).names()
