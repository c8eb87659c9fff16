"""dsmc as administrators use it: what is named is stored, archived, restored, listed and deleted, and nothing else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import dsmc_lab
from dsmc_lab import DsmcLab, names

from holdfast.backup.service.client.restore import Selection, list_versions
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import Refused


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DsmcLab]:
    with dsmc_lab.opened(tmp_path_factory.mktemp("dsmc")) as desk:
        yield desk


@pytest.fixture
def mine(desk: DsmcLab, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[DsmcLab, Path]:
    """A node of the test's own, with a file system of its own."""
    desk.fs = tmp_path / "VCS"
    desk.fs.mkdir()
    desk.rules = tmp_path / "inclexcl"
    desk.rules.write_text("")
    words = getattr(request, "param", "")
    return desk, desk.node(register=words)


Mine = tuple[DsmcLab, Path]


def test_selective_stores_what_is_named_changed_or_not(mine: Mine) -> None:
    desk, opt = mine
    desk.write(a_log="a", b_txt="b", sub__c_log="c", sub__deep__d_log="d")
    one = desk.run(opt, "selective", f"{desk.fs}/*_log")
    assert one.number("Total number of objects backed up:") == 2  # the file and the directory it stands in
    assert "b_txt" not in one.out
    again = desk.run(opt, "sel", f"{desk.fs}/*_log", "-su=yes")
    assert again.number("Total number of objects backed up:") == 6
    listed = desk.run(opt, "q", "ba", f"{desk.fs}/*", "-subdir=yes", "-inactive")
    assert sum(f"{desk.fs}/a_log" in line for line in listed.out.splitlines()) == 2
    assert "b_txt" not in listed.out
    missing = desk.run(opt, "selective", f"{desk.fs}/nowhere", code=12)
    assert "ANS4005E" in missing.err
    assert "ANS1081E" in desk.run(opt, "selective", f"{desk.fs}/*/c_log", code=12).err


def test_an_incremental_of_a_part_leaves_the_rest_alone(mine: Mine) -> None:
    desk, opt = mine
    desk.write(keep="k", part__x="x", part__y="y", part__below__z="z")
    desk.run(opt, "incremental")
    for path in ("keep", "part/x", "part/below/z"):
        (desk.fs / path).unlink()
    (desk.fs / "part" / "new").write_text("n")
    done = desk.run(opt, "incremental", f"{desk.fs}/part/*")
    assert done.number("Total number of objects expired:") == 1
    active = desk.run(opt, "q", "ba", f"{desk.fs}/*", "-subdir=yes").out
    assert "part/new" in active
    assert "part/below/z" in active, "below a directory that was not asked for"
    assert f"{desk.fs}/keep" in active
    assert "part/x" not in active
    deep = desk.run(opt, "incremental", f"{desk.fs}/part/", "-subdir=yes")
    assert deep.number("Total number of objects expired:") == 1
    quiet = desk.run(opt, "incremental", f"{desk.fs}/part/", "-subdir=yes")
    assert quiet.number("Total number of objects backed up:") == 0


def test_archive_stands_by_itself_and_is_retrieved_by_description(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    desk.write(db__one="first", db__two="second")
    desk.run(opt, "archive", f"{desk.fs}/db/*", "-description=year end")
    (desk.fs / "db" / "one").write_text("changed")
    done = desk.run(opt, "ar", f"{desk.fs}/db/one", "-desc=later")
    assert "Total number of objects archived:" in done.out
    listed = desk.run(opt, "q", "ar", f"{desk.fs}/db/*").out
    assert listed.count("db/one") == 2
    assert "year end" in listed
    assert "ANS1302E" in desk.run(opt, "q", "ba", f"{desk.fs}/db/*", code=12).err, "an archive is no backup version"
    desk.run(opt, "retrieve", f"{desk.fs}/db/*", f"{tmp_path}/old/", "-desc=year end")
    assert (tmp_path / "old" / "one").read_text() == "first"
    assert (tmp_path / "old" / "two").read_text() == "second"
    desk.run(opt, "ret", f"{desk.fs}/db/*", f"{tmp_path}/new/")
    assert (tmp_path / "new" / "one").read_text() == "changed"
    desk.run(opt, "delete", "archive", f"{desk.fs}/db/*", "-desc=year end", "-noprompt")
    assert "year end" not in desk.run(opt, "q", "ar", f"{desk.fs}/db/*").out


def test_archived_files_are_deleted_only_when_they_are_safe(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    desk.write(out__one="1", out__sub__two="2")
    desk.run(opt, "archive", f"{desk.fs}/out/*", "-subdir=yes", "-deletefiles")
    assert names(desk.fs / "out") == ["sub"]
    desk.run(opt, "retrieve", f"{desk.fs}/out/*", "-subdir=yes")
    assert (desk.fs / "out" / "sub" / "two").read_text() == "2"


def test_restore_by_time_by_name_and_by_version(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    desk.write(a="one", sub__b="b", gone="gone")
    desk.run(opt, "incremental")
    time.sleep(0.01)
    before = time.time_ns()
    time.sleep(0.01)
    (desk.fs / "a").write_text("two!")
    (desk.fs / "gone").unlink()
    desk.run(opt, "incremental")
    flat, spec = tmp_path / "flat", f"{desk.fs}/*"
    desk.run(opt, "restore", spec, f"{flat}/")
    assert names(flat) == ["a", "sub"]
    assert (flat / "a").read_text() == "two!"
    when = time.strftime("%H:%M:%S", time.localtime(before / 1e9)) + f".{before % 10**9 // 1000:06d}"
    date = time.strftime("%Y-%m-%d", time.localtime(before / 1e9))
    desk.run(opt, "restore", spec, f"{tmp_path}/then/", "-su=yes", f"-pitdate={date}", f"-pittime={when}")
    assert names(tmp_path / "then") == ["a", "gone", "sub", "sub/b"]
    assert (tmp_path / "then" / "a").read_text() == "one"
    desk.run(opt, "restore", spec, f"{tmp_path}/latest/", "-latest")
    assert (tmp_path / "latest" / "gone").read_text() == "gone"
    assert (tmp_path / "latest" / "a").read_text() == "two!"
    desk.run(opt, "restore", f"{desk.fs}/a", f"{tmp_path}/renamed")
    assert (tmp_path / "renamed").read_text() == "two!"
    late = desk.run(opt, "restore", spec, f"{tmp_path}/never/", "-fromdate=01/01/2100", code=12)
    assert "ANS1302E" in late.err


def test_where_things_land_below_a_destination(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    desk.write(a__b__c__file="x")
    desk.run(opt, "incremental")
    spec, below = f"{desk.fs}/a/b/*", str(desk.fs).lstrip("/")
    expected = {
        "subtree": "b/c/file",
        "nobase": "c/file",
        "none": "file",
        "complete": f"{below}/a/b/c/file",
    }
    for how, path in expected.items():
        desk.run(opt, "restore", spec, f"{tmp_path}/{how}/", "-subdir=yes", f"-preservepath={how}")
        files = [name for name in names(tmp_path / how) if name.endswith("file")]
        assert files == [path]


def test_what_exists_is_replaced_only_as_told(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    desk.write(a="kept", b="kept")
    desk.run(opt, "incremental")
    desk.write(a="mine now", b="mine now")
    os.utime(desk.fs / "a", (1, 1))
    desk.run(opt, "restore", f"{desk.fs}/*", "-replace=no")
    assert (desk.fs / "a").read_text() == "mine now"
    desk.run(opt, "restore", f"{desk.fs}/*", "-ifnewer")
    assert [(desk.fs / name).read_text() for name in "ab"] == ["kept", "mine now"]
    desk.write(a="mine now")
    desk.run(opt, "restore", f"{desk.fs}/*", "-replace=prompt", answers="3\n1\n")
    assert [(desk.fs / name).read_text() for name in "ab"] == ["mine now", "kept"]
    wrong = desk.run(opt, "restore", f"{desk.fs}/*", "-replace=perhaps", code=12)
    assert "ANS1107E" in wrong.err


def test_one_file_comes_back_without_touching_the_directories_above(mine: Mine) -> None:
    desk, opt = mine
    desk.write(d__file="x")
    desk.run(opt, "incremental")
    (desk.fs / "d" / "file").unlink()
    os.chmod(desk.fs / "d", 0o711)
    desk.run(opt, "restore", f"{desk.fs}/d/file")
    assert (desk.fs / "d").stat().st_mode & 0o777 == 0o711
    assert (desk.fs / "d" / "file").read_text() == "x"


def test_pick_restores_what_was_chosen_from_the_list(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    for content in ("one", "two!", "three"):
        desk.write(a=content)
        desk.run(opt, "selective", f"{desk.fs}/a")
    shown = desk.run(opt, "restore", f"{desk.fs}/*", f"{tmp_path}/x/", "-pick", "-inactive", answers="9\n1\n")
    assert "is no number from 1 to 2" in shown.out, "VEREXISTS keeps two"
    assert (tmp_path / "x" / "a").read_text() == "two!"
    stopped = desk.run(opt, "restore", f"{desk.fs}/*", f"{tmp_path}/y/", "-pick", answers="\n")
    assert "Total number of objects restored:                 0" in stopped.out


def test_filelist_names_exactly_what_comes(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    desk.write(a="a", b="b", d__c="c")
    (desk.fs / "with blank").write_text("blank")
    desk.run(opt, "incremental")
    listed = tmp_path / "list"
    listed.write_text(f'{desk.fs}/a\n"{desk.fs}/with blank"\n{desk.fs}/d/c\n')
    for name in ("a", "with blank"):
        (desk.fs / name).unlink()
    desk.run(opt, "restore", f"-filelist={listed}", "-replace=all")
    assert (desk.fs / "with blank").read_text() == "blank"
    listed.write_text("relative\n")
    assert f"{listed}:1:1" in desk.run(opt, "selective", f"-filelist={listed}", code=12).err


@pytest.mark.parametrize("mine", ["backdelete=YES archdelete=NO"], indirect=True)
def test_deletion_is_what_the_node_is_allowed(mine: Mine) -> None:
    desk, opt = mine
    desk.write(a="one", b="b")
    desk.run(opt, "incremental")
    desk.run(opt, "archive", f"{desk.fs}/a")
    refused = desk.run(opt, "delete", "archive", f"{desk.fs}/a", "-noprompt", code=12)
    assert "ARCHDELETE=NO" in refused.err
    assert "ARCHDELETE=NO" in desk.run(opt, "delete", "filespace", str(desk.fs), "-noprompt", code=12).err
    desk.write(a="two!")
    desk.run(opt, "incremental")
    desk.run(opt, "delete", "backup", f"{desk.fs}/a", "-deltype=inactive", "-noprompt")
    assert desk.run(opt, "q", "ba", f"{desk.fs}/a", "-inactive").out.count("/a\n") == 1
    assert "asked" not in desk.run(opt, "delete", "backup", f"{desk.fs}/b", answers="n\n", code=12).out
    assert "/b\n" in desk.run(opt, "q", "ba", f"{desk.fs}/b").out
    desk.run(opt, "expire", f"{desk.fs}/b", "-noprompt")
    assert "ANS1302E" in desk.run(opt, "q", "ba", f"{desk.fs}/b", code=12).err
    assert "  I  " in desk.run(opt, "q", "ba", f"{desk.fs}/b", "-inactive").out


def test_backups_stay_where_policy_says_so(mine: Mine) -> None:
    desk, opt = mine
    desk.write(a="a")
    desk.run(opt, "incremental")
    assert "BACKDELETE=NO" in desk.run(opt, "delete", "backup", f"{desk.fs}/a", "-noprompt", code=12).err
    assert "/a\n" in desk.run(opt, "q", "ba", f"{desk.fs}/a").out


def test_another_node_restores_what_it_was_given_and_nothing_else(mine: Mine, tmp_path: Path) -> None:
    desk, owner = mine
    other = desk.node()
    desk.write(open__a="a", open__deep__b="b", secret__c="c")
    desk.run(owner, "incremental")
    desk.run(owner, "archive", f"{desk.fs}/open/a")
    name = owner.parent.name
    spec = f"{desk.fs}/*"
    assert "access to nothing" in desk.run(other, "q", "ba", spec, f"-fromnode={name}", code=12).err
    desk.run(owner, "set", "access", "backup", f"{desk.fs}/open/*/*", other.parent.name)
    seen = desk.run(other, "q", "ba", spec, "-subdir=yes", f"-fromnode={name}").out
    assert "open/deep/b" in seen
    assert "secret" not in seen
    desk.run(other, "restore", spec, f"{tmp_path}/x/", "-subdir=yes", f"-fromnode={name}")
    assert names(tmp_path / "x") == ["open", "open/a", "open/deep", "open/deep/b"]
    assert "ANS1302E" in desk.run(other, "q", "ar", spec, "-subdir=yes", f"-fromnode={name}", code=12).err
    number = desk.run(owner, "q", "access").out.splitlines()[-1].split()[0]
    desk.run(owner, "delete", "access", number)
    desk.run(other, "restore", spec, f"{tmp_path}/y/", f"-fromnode={name}", code=12)


def test_a_macro_is_read_whole_and_ends_with_its_highest_code(mine: Mine, tmp_path: Path) -> None:
    desk, opt = mine
    desk.write(a="a")
    macro = tmp_path / "night.mac"
    macro.write_text(f"* every night\nincremental\nquery backup {desk.fs}/nowhere\nselective '{desk.fs}/a'\n")
    done = desk.run(opt, "macro", str(macro), code=12)
    assert "ANS1895I Highest macro return code was 12." in done.out
    assert done.out.count("Total number of objects inspected") == 2
    macro.write_text("incremental\nselectve x\n")
    wrong = desk.run(opt, "macro", str(macro), code=12)
    assert f"{macro}:2:1" in wrong.err
    assert "inspected" not in wrong.out


def test_what_the_options_and_policy_say_is_shown(mine: Mine) -> None:
    desk, opt = mine
    desk.write(a="a", skip__b="b")
    desk.rules.write_text(f"exclude.dir {desk.fs}/skip\nexclude {desk.fs}/*.tmp\n")
    assert "TCPPORT" in desk.run(opt, "q", "opt").out
    assert "DOMAIN" not in desk.run(opt, "q", "opt", "tcp*").out
    classes = desk.run(opt, "q", "mgmt", "-detail").out
    assert "Versions Data Exists          : 2 version(s)" in classes
    assert "Retain Version                : 365 day(s)" in classes
    assert "Server Name               : DELHI" in desk.run(opt, "q", "session").out
    desk.write(x__t="t")
    (desk.fs / "b.tmp").write_text("t")
    seen = desk.run(opt, "preview", "backup", f"{desk.fs}/*", "-subdir=yes").out
    assert "Excluded" in next(line for line in seen.splitlines() if line.endswith("b.tmp"))
    assert "skip" not in seen


def test_the_loop_takes_commands_until_it_is_told_to_end(mine: Mine) -> None:
    desk, opt = mine
    desk.write(a="a")
    shown = desk.run(opt, "loop", answers="incremental\nfrobnicate\nquit\nincremental\n")
    assert shown.out.count("Total number of objects inspected") == 1
    assert "ANS1138E" in shown.err


def test_the_activity_log_has_what_clients_did_and_what_went_wrong(mine: Mine) -> None:
    desk, opt = mine
    desk.write(a="a", b="b")
    desk.run(opt, "incremental")
    desk.run(opt, "selective", f"{desk.fs}/missing", code=12)
    node = opt.parent.name.upper()
    log = [row[-1] for row in desk.admin(f"query actlog search={node}").rows]
    assert any(line.startswith(f"ANE4954I (Node: {node}) Total number of objects backed up: 3") for line in log)
    assert any(line.startswith(f"ANE4005E (Node: {node}) Error processing '{desk.fs}/missing'") for line in log)
    desk.run(opt, "archive", f"{desk.fs}/a")
    desk.run(opt, "restore", f"{desk.fs}/a", f"{desk.fs}/back")
    told = " ".join(row[-1] for row in desk.admin(f"query actlog search={node}").rows)
    assert "objects archived: 2" in told
    assert "objects restored: 1" in told


def test_a_client_cannot_write_what_it_likes_into_the_activity_log(mine: Mine) -> None:
    desk, opt = mine
    name = opt.parent.name
    with desk.lab.session("DELHI", name) as session:
        lines = ("ANR9999D forged", "ANS4037E real\nANR2017I Administrator ADMIN issued command: forged", "x" * 5000)
        session.send(m.Tell({"ANE4954I": 7, "ANE9999I": 1, "ANE4961I": -1, "ANR2579E": 3}, lines * 100))
    log = [row[-1] for row in desk.admin(f"query actlog search={name}").rows]
    told = [line for line in log if line.startswith("ANE")]
    assert sum("ANE4954I" in line for line in told) == 1
    assert sum("ANE4037E" in line for line in told) <= 34
    assert not any(line.startswith(("ANR9999D", "ANE9999I", "ANR2579E")) for line in log)
    assert all("\n" not in line for line in told)


def test_another_stanza_and_everything_anew_are_options_of_the_command(mine: Mine) -> None:
    desk, opt = mine
    desk.write(a="a")
    stanza = opt.parent / "dsm.sys"
    other = stanza.read_text().replace("TSM_VCS", "TSM_OTHER").replace("TLSSERVERNAME DELHI", "TLSSERVERNAME DELHI2")
    stanza.write_text(stanza.read_text() + other)
    desk.run(opt, "incremental")
    assert desk.run(opt, "incremental").number("Total number of objects backed up:") == 0
    assert desk.run(opt, "incremental", "-absolute").number("Total number of objects backed up:") == 1
    assert "DELHI2" in desk.run(opt, "incremental", "-se=tsm_other", code=12).err
    assert "no stanza for server 'NONE'" in desk.run(opt, "incremental", "-se=NONE", code=12).err


def test_content_is_given_only_to_whom_it_was_listed(mine: Mine) -> None:
    desk, opt = mine
    desk.write(secret="s" * 100_000)
    desk.run(opt, "incremental")
    with desk.lab.session("DELHI", opt.parent.name) as session:
        (secret,) = (v for v in list_versions(session, Selection(str(desk.fs))) if v.key == b"secret")
        chunk = secret.pieces[0][0]
        located = session.call(lambda seq: m.Locate(seq, (chunk,)))
        assert isinstance(located, m.Located)
        group = located.places[0][0]
        assert isinstance(session.call(lambda seq: m.Fetch(seq, group)), m.Fetched)
    thief = desk.node().parent.name
    for ask in (lambda seq: m.Locate(seq, (chunk,)), lambda seq: m.Fetch(seq, group)):
        with pytest.raises(Refused, match="never told of"), desk.lab.session("DELHI", thief) as session:
            session.call(ask)
