"""Which objects are kept, under which class, and for how long: the list and policy at work on a server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import dsmc_lab
from dsmc_lab import DsmcLab


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DsmcLab]:
    with dsmc_lab.opened(tmp_path_factory.mktemp("binding")) as desk:
        yield desk


@pytest.fixture
def mine(desk: DsmcLab, tmp_path: Path) -> tuple[DsmcLab, Path]:
    desk.fs = tmp_path / "VCS"
    desk.fs.mkdir()
    desk.rules = tmp_path / "inclexcl"
    desk.rules.write_text("")
    return desk, desk.node()


Mine = tuple[DsmcLab, Path]
KEEP_WRITING = """
import sys, time
files = [open(name, "r+b", buffering=0) for name in sys.argv[1:]]
while True:
    for file in files:
        file.seek(0)
        file.write(b"%d" % time.monotonic_ns())
"""


def policy(desk: DsmcLab, name: str, *, backup: str = "", archive: str = "") -> None:
    """Define a class in STANDARD and activate it."""
    run = desk.lab.servers["DELHI"].run
    key = {"domain": "STANDARD", "policyset": "STANDARD"}
    run("define mgmtclass", name=name, **key)
    pool = {"destination": "BACKUPPOOL"}
    for kind, words in (("BACKUP", backup), ("ARCHIVE", archive)):
        if words:
            values = dict(word.split("=") for word in words.split())
            reply = run("define copygroup", mgmtclass=name, type=kind, **key, **pool, **values)
            assert reply.code == 0, reply.messages
    assert run("activate policyset", domain="STANDARD", name="STANDARD").code == 0


def versions(desk: DsmcLab, opt: Path, name: str) -> list[tuple[str, str]]:
    """Return class and state of every version of one object."""
    return [(row[4], row[5]) for row in desk.run(opt, "q", "ba", f"{desk.fs}/{name}", "-inactive").rows]


def test_every_version_follows_a_changed_include_and_archives_never_do(mine: Mine) -> None:
    desk, opt = mine
    policy(desk, "LONG", backup="verexists=5 verdeleted=5", archive="retver=10")
    desk.write(a="one", b="b")
    desk.run(opt, "incremental")
    desk.run(opt, "archive", f"{desk.fs}/a")
    desk.write(a="two!")
    desk.run(opt, "incremental")
    desk.rules.write_text(f"include {desk.fs}/.../* LONG\n")
    bound = desk.run(opt, "incremental")
    assert bound.number("Total number of objects rebound:") == 2
    assert bound.number("Total number of objects backed up:") == 0
    assert versions(desk, opt, "a") == [("LONG", "I"), ("LONG", "A")]
    expires = desk.run(opt, "q", "ar", f"{desk.fs}/a").rows[-1][5]
    ten = desk.run(opt, "archive", f"{desk.fs}/b", "-archmc=long")
    assert ten.number("Total number of objects archived:") == 2
    assert desk.run(opt, "q", "ar", f"{desk.fs}/b").rows[-1][5] != expires
    for content in ("three", "four", "five"):
        desk.write(a=content)
        desk.run(opt, "incremental")
    assert len(versions(desk, opt, "a")) == 5, "the older versions are kept by the new class's count"
    desk.rules.write_text("")
    desk.write(a="six")
    desk.run(opt, "incremental")
    assert versions(desk, opt, "a") == [("STANDARD", "I"), ("STANDARD", "A")], "a new version takes the old ones along"


def test_archives_go_when_their_days_are_over_and_their_content_with_them(mine: Mine) -> None:
    desk, opt = mine
    policy(desk, "NODAYS", archive="retver=0")
    desk.write(a="x" * 200_000, b="y" * 100_000)
    desk.run(opt, "archive", f"{desk.fs}/a", "-archmc=NODAYS")
    desk.run(opt, "archive", f"{desk.fs}/b")
    server = desk.lab.servers["DELHI"]
    expired = server.run("expire inventory", wait="YES")
    assert expired.code == 0
    assert "2 archive files" in " ".join(expired.messages)
    desk.run(opt, "q", "ar", f"{desk.fs}/a", code=12)
    (desk.fs / "b").unlink()
    desk.run(opt, "retrieve", f"{desk.fs}/b")
    assert (desk.fs / "b").read_text() == "y" * 100_000


def test_excluded_goes_inactive_excluded_filespaces_stay_untouched(mine: Mine) -> None:
    desk, opt = mine
    desk.write(a="a", d__b="b", d__c="c")
    desk.run(opt, "incremental")
    desk.rules.write_text(f"exclude.fs {desk.fs}\nexclude {desk.fs}/a\n")
    left = desk.run(opt, "incremental", code=8)
    assert "ANS1696W" in left.err
    assert versions(desk, opt, "a") == [("STANDARD", "A")]
    assert "ANS1696W" in desk.run(opt, "selective", f"{desk.fs}/a", code=8).err
    desk.run(opt, "archive", f"{desk.fs}/a")
    desk.rules.write_text(f"exclude {desk.fs}/a\nexclude.dir {desk.fs}/d\ninclude {desk.fs}/d/c\n")
    gone = desk.run(opt, "incremental")
    assert gone.number("Total number of objects expired:") == 4, "include cannot rescue what is below an exclude.dir"
    assert versions(desk, opt, "a") == [("STANDARD", "I")]


def test_an_excluded_directory_does_not_stop_a_single_file_that_is_named(mine: Mine) -> None:
    desk, opt = mine
    desk.write(d__b="b", d__c="c", d__deep__e="e")
    desk.rules.write_text(f"exclude.dir {desk.fs}/d\nexclude {desk.fs}/d/c\n")
    assert desk.run(opt, "selective", f"{desk.fs}/d/*").number("Total number of objects backed up:") == 0
    one = desk.run(opt, "selective", f"{desk.fs}/d/b")
    assert "d/b" in one.out
    deep = desk.run(opt, "incremental", f"{desk.fs}/d/deep/e")
    assert "d/deep/e" in deep.out
    warned = desk.run(opt, "selective", f"{desk.fs}/d/c", code=8)
    assert "ANS1115W" in warned.err
    kept = desk.run(opt, "archive", f"{desk.fs}/d/*", "-subdir=yes")
    assert "d/deep/e" in kept.out, "an archive does not listen to exclude.dir"
    desk.rules.write_text(f"exclude.archive {desk.fs}/.../e\n")
    assert "d/deep/e" not in desk.run(opt, "archive", f"{desk.fs}/d/*", "-subdir=yes").out


def test_absolute_mode_stores_what_has_not_changed(mine: Mine) -> None:
    desk, opt = mine
    policy(desk, "ALWAYS", backup="mode=ABSOLUTE")
    policy(desk, "WEEKLY", backup="frequency=7")
    desk.rules.write_text(f"include {desk.fs}/always ALWAYS\ninclude {desk.fs}/weekly WEEKLY\n")
    desk.write(always="a", weekly="w", normal="n")
    desk.run(opt, "incremental")
    desk.write(weekly="changed", normal="changed")
    second = desk.run(opt, "incremental").out
    assert "/always [Sent]" in second
    assert "/normal [Sent]" in second
    assert "/weekly [Sent]" not in second
    assert "/weekly [Sent]" in desk.run(opt, "selective", f"{desk.fs}/weekly").out


def test_a_file_that_never_stands_still_is_kept_only_where_policy_says_so(mine: Mine) -> None:
    desk, opt = mine
    policy(desk, "MOVING", backup="serialization=SHRDYNAMIC")
    desk.rules.write_text(f"include {desk.fs}/dynamic MOVING\n")
    paths = [desk.fs / "dynamic", desk.fs / "static"]
    for path in paths:
        path.write_bytes(b"x" * 32_000_000)
    with subprocess.Popen([sys.executable, "-c", KEEP_WRITING, *map(str, paths)]) as writer:
        try:
            done = desk.run(opt, "incremental", code=4)
        finally:
            writer.kill()
    assert f"ANS4037E Object '{desk.fs}/static' changed during processing" in done.err
    assert "dynamic" not in done.err
    assert done.number("Total number of retries:") == 6
    desk.run(opt, "restore", f"{desk.fs}/dynamic", f"{desk.directory}/back-{opt.parent.name}")
    assert (desk.directory / f"back-{opt.parent.name}").stat().st_size == 32_000_000


def test_the_servers_option_set_has_the_last_word(mine: Mine) -> None:
    desk, opt = mine
    run = desk.lab.servers["DELHI"].run
    desk.write(keep="k", drop="d", sub__x="x")
    desk.rules.write_text(f"include {desk.fs}/drop\n")
    run("define cloptset", name="OPS")
    for option, value, words in (
        ("inclexcl", f"exclude {desk.fs}/drop", {}),
        ("subdir", "yes", {"force": "YES"}),
        ("changingretries", "2", {}),
    ):
        reply = run("define clientopt", optionset="OPS", option=option, value=value, **words)
        assert reply.code == 0, reply.messages
    reply = run("update node", name=opt.parent.name, cloptset="OPS")
    assert reply.code == 0, reply.messages
    shown = desk.run(opt, "q", "inclexcl").out.splitlines()
    listed = [line for line in shown if line.startswith(("Excl", "Incl"))]
    assert listed[0].split() == ["Excl", "All", f"{desk.fs}/drop", "client", "option", "set"]
    out = desk.run(opt, "selective", f"{desk.fs}/*", "-subdir=no").out
    assert "/drop [Sent]" not in out
    assert "sub/x [Sent]" in out, "a forced option overrules the command line"
