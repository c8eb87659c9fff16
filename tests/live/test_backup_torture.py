"""What file systems can do to a backup, and a server to a restore: metadata, links, depth, files in motion."""

from __future__ import annotations

import io
import os
import random
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab
import dsmc_lab
from dsmc_lab import DsmcLab

from holdfast.backup.model.objects import Extra, Kind, Stat
from holdfast.backup.service.client.restore import Restore, RestoreFigures, Selection
from holdfast.backup.session import messages as m

ACL = bytes.fromhex("0200000001000700ffffffff02000600d204000004000500ffffffff10000700ffffffff20000400ffffffff")
"""user::rwx, user:1234:rw-, group::r-x, mask::rwx, other::r--"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DsmcLab]:
    with dsmc_lab.opened(tmp_path_factory.mktemp("torture")) as desk:
        yield desk


@pytest.fixture
def mine(desk: DsmcLab, tmp_path: Path) -> tuple[DsmcLab, Path]:
    desk.fs = tmp_path / "VCS"
    desk.fs.mkdir()
    desk.rules = tmp_path / "inclexcl"
    desk.rules.write_text("")
    return desk, desk.node()


Mine = tuple[DsmcLab, Path]


def back(desk: DsmcLab, opt: Path, to: Path, *words: str, code: int = 0) -> dsmc_lab.Printed:
    """Restore the whole file system below ``to``."""
    return desk.run(opt, "restore", f"{desk.fs}/*", f"{to}/", "-subdir=yes", *words, code=code)


@pytest.mark.root
def test_attributes_survive_in_every_combination(mine: Mine, tmp_path: Path, rng: random.Random) -> None:
    desk, opt = mine
    backup_lab.make_nasty_tree(desk.fs)
    for number in range(60):
        path = desk.fs / f"file{number}"
        path.write_bytes(rng.randbytes(rng.choice((0, 1, 300, 5000))))
        os.chown(path, rng.choice((0, 1234, 2**32 - 2)), rng.choice((0, 4321)))
        path.chmod(rng.choice((0, 0o444, 0o555, 0o644, 0o2755, 0o4755, 0o6711, 0o1777)))
        if rng.random() < 0.5:
            os.setxattr(path, "system.posix_acl_access", ACL)
        if rng.random() < 0.3:
            os.setxattr(path, "user.empty", b"")
        if rng.random() < 0.3:
            os.setxattr(path, "trusted.long", rng.randbytes(2000))
        when = rng.choice((-(2**31), -1, 0, 2**31, 2**33)) * 10**9 + rng.randrange(10**9)
        os.utime(path, ns=(when, when))
    inherited = desk.fs / "inherited"
    inherited.mkdir()
    os.setxattr(inherited, "system.posix_acl_default", ACL)
    (inherited / "below").write_text("made under the default")
    (inherited / "plain").write_text("x")
    os.removexattr(inherited / "plain", "system.posix_acl_access")
    (inherited / "plain").chmod(0o600)
    os.utime(inherited, ns=(1, 1))
    desk.run(opt, "incremental")
    assert desk.run(opt, "incremental").number("Total number of objects backed up:") == 0
    back(desk, opt, tmp_path / "back")
    assert backup_lab.differences(desk.fs, tmp_path / "back") == ""


@pytest.mark.root
def test_setuid_and_capabilities_come_after_the_owner(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    for name in ("setuid", "capable"):
        (desk.fs / name).write_bytes(b"#!")
        os.chown(desk.fs / name, 1234, 1234)
    (desk.fs / "setuid").chmod(0o4755)
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(desk.fs / "capable", "security.capability", capability)
    desk.run(opt, "incremental")
    back(desk, opt, tmp_path / "back")
    found = (tmp_path / "back" / "setuid").stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (1234, 0o4755)
    assert os.getxattr(tmp_path / "back" / "capable", "security.capability") == capability


def test_ten_links_are_one_file_again_wherever_they_stand(mine: Mine, tmp_path: Path, rng: random.Random) -> None:
    desk, opt = mine
    for number in range(12):
        (desk.fs / f"d{number}").mkdir()
        (desk.fs / f"d{number}" / "other").write_bytes(rng.randbytes(900_000))
    one = desk.fs / "d5" / "linked"
    one.write_bytes(rng.randbytes(9_000_000))
    for number in (0, 1, 2, 3, 7, 8, 9, 10, 11):
        os.link(one, desk.fs / f"d{number}" / f"link{number}")
    desk.run(opt, "incremental")
    back(desk, opt, tmp_path / "back")
    found = (tmp_path / "back" / "d5" / "linked").stat()
    assert found.st_nlink == 10
    assert backup_lab.differences(desk.fs, tmp_path / "back") == ""
    desk.run(opt, "restore", f"{desk.fs}/d0/*", f"{tmp_path}/part/")
    assert (tmp_path / "part" / "link0").stat().st_nlink == 1, "the rest was not asked for"
    assert (tmp_path / "part" / "link0").read_bytes() == one.read_bytes()


def descend(top: Path, name: str, depth: int, make: bool) -> int:
    """Return a descriptor so many directories below ``top``."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        if make:
            os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    return here


@pytest.fixture
def removed(tmp_path: Path) -> Iterator[None]:
    """What is too deep for those who clean up behind tests goes at once."""
    yield
    subprocess.run(["rm", "-rf", *tmp_path.iterdir()], check=True)


@pytest.mark.usefixtures("removed")
@pytest.mark.parametrize(("depth", "name"), [(1_200, "d"), (45, "n" * 200)], ids=["levels", "past PATH_MAX"])
def test_no_path_is_too_deep_or_too_long(mine: Mine, tmp_path: Path, depth: int, name: str) -> None:
    desk, opt = mine
    bottom = descend(desk.fs, name, depth, make=True)
    with os.fdopen(os.open("leaf", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=bottom), "wb") as file:
        file.write(b"at the bottom")
    os.utime(bottom, ns=(7, 7))
    os.close(bottom)
    done = desk.run(opt, "incremental", "-quiet")
    assert done.number("Total number of objects backed up:") == depth + 2
    back(desk, opt, tmp_path / "back")
    found = descend(tmp_path / "back", name, depth, make=False)
    with os.fdopen(os.open("leaf", os.O_RDONLY, dir_fd=found), "rb") as file:
        assert file.read() == b"at the bottom"
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o640
    assert os.fstat(found).st_mtime_ns == 7
    os.close(found)
    named = desk.run(opt, "selective", f"{desk.fs}/*", "-subdir=yes", "-quiet")
    assert named.number("Total number of objects backed up:") == depth + 2


def test_names_are_bytes(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    names = [bytes([byte]) * 3 for byte in range(1, 256) if byte not in b"/."]
    names += [b"*", b"[a-z]", b"\\", b"{}", b'"', b"'", b"$(x)", b"...", b"-rf", b"%s", b"\xf0\x9f\x8d\x84", b"x" * 255]
    for name in names:
        with open(os.fsencode(desk.fs) + b"/" + name, "wb") as file:
            file.write(name)
    desk.run(opt, "incremental")
    back(desk, opt, tmp_path / "back")
    assert sorted(os.listdir(os.fsencode(tmp_path / "back"))) == sorted(names)
    for name in names:
        assert Path(os.fsdecode(os.fsencode(tmp_path / "back") + b"/" + name)).read_bytes() == name
    desk.run(opt, "restore", f"{desk.fs}/[a-z]", f"{tmp_path}/one/")
    assert os.listdir(tmp_path / "one") == ["[a-z]"], "no single letter is there, so the bracket is the name"


def test_eight_thousand_entries_in_one_directory(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    for number in range(8_000):
        os.close(os.open(desk.fs / f"f{number}", os.O_CREAT | os.O_WRONLY))
    assert desk.run(opt, "incremental", "-quiet").number("Total number of objects backed up:") == 8_001
    listed = desk.run(opt, "query", "backup", f"{desk.fs}/f799?").out
    assert listed.count("/f799") == 10
    done = back(desk, opt, tmp_path / "back")
    assert done.number("Total number of objects restored:") == 8_001


def test_holes_stay_holes(mine: Mine, tmp_path: Path, rng: random.Random) -> None:
    desk, opt = mine
    for number in range(6):
        with open(desk.fs / f"sparse{number}", "wb") as file:
            for _ in range(rng.randrange(4)):
                file.seek(rng.randrange(40_000_000))
                file.write(rng.randbytes(rng.randrange(1, 300_000)))
            file.truncate(50_000_000)  # also a hole at the end, also nothing but a hole
    desk.run(opt, "incremental")
    back(desk, opt, tmp_path / "back")
    for number in range(6):
        there, here = (top / f"sparse{number}" for top in (desk.fs, tmp_path / "back"))
        assert here.read_bytes() == there.read_bytes()
        assert here.stat().st_blocks <= there.stat().st_blocks + 64


def test_sockets_are_passed_over_and_fifos_are_not_read(
    mine: Mine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, opt = mine
    os.mkfifo(desk.fs / "fifo")
    monkeypatch.chdir(desk.fs)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        done = desk.run(opt, "incremental")
    assert done.number("Total number of objects backed up:") == 2
    back(desk, opt, tmp_path / "back")
    assert stat.S_ISFIFO((tmp_path / "back" / "fifo").stat().st_mode)


SWAP = """
import os, sys
top = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
os.chdir(sys.argv[1])
makers = [
    lambda: open("new", "wb").write(b"honest content"),
    lambda: os.symlink("/etc/passwd", "new"),
    lambda: os.mkfifo("new"),
    lambda: open("new", "wb").close(),
    lambda: os.mkdir("new"),
]
while True:
    for make in makers:
        make()
        os.rename("swap", "old")
        os.rename("new", "swap")
        (os.rmdir if os.path.isdir("old") and not os.path.islink("old") else os.unlink)("old")
        with open("grows", "ab") as file:
            file.write(b"x" * 4096)
        with open("shrinks", "r+b") as file:
            file.truncate(max(os.path.getsize("shrinks") - 4096, 0))
"""


def test_nothing_that_changes_under_the_reader_hangs_or_is_stored_wrong(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    (desk.fs / "swap").write_bytes(b"honest content")
    (desk.fs / "grows").write_bytes(b"x")
    (desk.fs / "shrinks").write_bytes(b"x" * 50_000_000)
    with subprocess.Popen([sys.executable, "-c", SWAP, str(desk.fs)], stderr=subprocess.DEVNULL) as writer:
        try:
            for verb in ("incremental", "selective") * 2:
                words = [verb] if verb == "incremental" else [verb, f"{desk.fs}/*", "-subdir=yes"]
                done = dsmc_lab.dsmc.main([*words, f"-optfile={opt}", "-quiet"], io.StringIO())
                assert done in (0, 4)
                words = ["restore", f"{desk.fs}/*", f"{tmp_path}/back/", f"-optfile={opt}", "-replace=all"]
                assert dsmc_lab.dsmc.main(words, io.StringIO()) in (0, 12)
                found = tmp_path / "back" / "swap"
                if found.is_file() and not found.is_symlink():
                    assert found.read_bytes() in (b"", b"honest content"), "what a link points to was stored"
            assert writer.poll() is None, "it was swapping all the time"
        finally:
            writer.kill()


@pytest.mark.root
def test_what_may_not_be_read_is_named_and_never_expired(mine: Mine) -> None:
    desk, opt = mine
    desk.write(open__a="a", shut__b="b", shut__deep__c="c", denied="d", z="z")
    desk.run(opt, "incremental")
    (desk.fs / "shut").chmod(0)
    (desk.fs / "denied").chmod(0)
    (desk.fs / "z").unlink()
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", sys.executable, "-m", "holdfast.app.main"]
    os.utime(desk.fs / "denied", ns=(5, 5))
    done = subprocess.run(
        [*command, "dsmc", "incremental", f"-optfile={opt}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 4, done.stdout + done.stderr
    assert "/shut" in done.stderr
    assert "/denied" in done.stderr
    active = desk.run(opt, "query", "backup", f"{desk.fs}/*", "-subdir=yes").out
    for name in ("shut/b", "shut/deep/c", "denied"):
        assert f"/{name}\n" in active
    assert "/z\n" not in active
    part = subprocess.run(
        [*command, "dsmc", "incremental", f"{desk.fs}/shut/", "-subdir=yes", f"-optfile={opt}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert part.returncode == 4, part.stdout + part.stderr
    assert "/shut/b\n" in desk.run(opt, "query", "backup", f"{desk.fs}/*", "-subdir=yes").out


def test_restore_replaces_what_stands_there_and_follows_no_link(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    desk.write(file="file", directory__below="below", link__below="through")
    os.symlink("nowhere", desk.fs / "symlink")
    desk.run(opt, "incremental")
    to, outside = tmp_path / "back", tmp_path / "outside"
    outside.mkdir()
    to.mkdir()
    (to / "file").symlink_to(outside / "written")
    (to / "directory").write_text("a file in a directory's place")
    (to / "link").symlink_to(outside)
    (to / "symlink").mkdir()
    (to / "symlink" / "kept").write_text("kept")
    done = back(desk, opt, to, "-replace=all", code=12)
    assert os.listdir(outside) == []
    assert (to / "file").read_text() == "file"
    assert (to / "directory" / "below").read_text() == "below"
    assert (to / "link" / "below").read_text() == "through"
    assert (to / "symlink" / "kept").exists(), "a directory with something in it is not thrown away for a link"
    assert "/symlink' failed" in done.err


class Liar:
    """A server's answers that lead out of the destination."""

    def versions(self, outside: Path) -> Iterator[m.StoredVersion]:
        facts = Stat(stat.S_IFLNK | 0o777, 0, 0, 1, 1, 1, 1, 1)
        directory = Stat(stat.S_IFDIR | 0o755, 0, 0, 0, 1, 1, 2, 1)
        target = Extra((), os.fsencode(outside))
        for number, (key, kind) in enumerate(
            [
                (b"..\0evil", Kind.SYMLINK),
                (b"../evil", Kind.SYMLINK),
                (b"/evil", Kind.SYMLINK),
                (b"a", Kind.SYMLINK),
                (b"a\0evil", Kind.SYMLINK),
                (b"a\0evildir", Kind.DIRECTORY),
                (b"b\0..\0..\0evil", Kind.SYMLINK),
                (b".", Kind.SYMLINK),
                (b"good", Kind.SYMLINK),
            ]
        ):
            stored = directory if kind is Kind.DIRECTORY else facts
            yield m.StoredVersion(number, key, kind, stored, target, "X", 1, None, ())


def test_a_server_that_lies_writes_nothing_outside(mine: Mine, tmp_path: Path) -> None:
    desk, _ = mine
    outside, to = tmp_path / "outside", tmp_path / "deep" / "er"
    outside.mkdir()
    desk.lab.servers["DELHI"].run("register node", name="LIED", password="secret", domain="STANDARD")
    with desk.lab.session("DELHI", "LIED") as session:
        figures: RestoreFigures = Restore(session, str(to)).run(Selection("/fs"), Liar().versions(outside))
    assert figures.objects_failed >= 6
    assert os.listdir(outside) == []
    assert sorted(os.listdir(tmp_path / "deep")) == ["er"]
    assert not list(tmp_path.glob("evil*"))
    assert (to / "good").is_symlink()


@pytest.mark.root
def test_a_full_disk_and_an_immutable_file_fail_by_name_and_the_rest_comes(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    (desk.fs / "big").write_bytes(os.urandom(6_000_000))
    desk.write(a="small", z="small", fixed="kept")
    desk.run(opt, "incremental")
    to = tmp_path / "small"
    to.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", to], check=True)
    try:
        done = back(desk, opt, to, code=12)
        assert "/big' failed: No space left on device" in done.err
        assert sorted(os.listdir(to)) == ["a", "fixed", "z"], "half a file is no file"
    finally:
        subprocess.run(["umount", to], check=True)
    to = tmp_path / "fixed"
    to.mkdir()
    (to / "fixed").write_text("stays")
    subprocess.run(["chattr", "+i", to / "fixed"], check=True)
    try:
        done = back(desk, opt, to, "-replace=all", code=12)
    finally:
        subprocess.run(["chattr", "-i", to / "fixed"], check=True)
    assert "/fixed' failed: Operation not permitted" in done.err
    assert (to / "fixed").read_text() == "stays"
    assert (to / "z").read_text() == "small"
