"""Input that cannot be used, through the real commands: the complaint names place and remedy, and nothing is changed.

A case is a good file with one thing wrong, the place where a person has to look, and a word of the message. Exit codes
are those of the commands' documents: 1 for ``holdfast``, ``hacf`` and ``dsmadmc``, 2 for a wrong command line, 12 for
``dsmc``.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab

from holdfast.app.store import open_store
from holdfast.runtime.authority import create_authority, issue
from holdfast.runtime.identity import save_identity
from holdfast.runtime.secretfile import write_secret
from holdfast.store.port import Entry

BIN = Path(sys.executable).parent
FAILED, USAGE, DSMC_FAILED = 1, 2, 12
SAID_LIMIT = 2000
"""No complaint is longer than this, whatever was in the file."""
CASE_LIMIT_S = 15.0


def files_below(top: Path) -> dict[str, str]:
    """Return the digest of every file below a directory, and the name of every directory.

    A server that runs there keeps its own house (its catalog's log, records in its pools): of its files what counts is
    what an administrator could see changed."""
    servers = {path.parent: defined(path) for path in top.rglob("catalog.db")}
    found = {str(server.relative_to(top)): digest for server, digest in servers.items()}
    for path in sorted(top.rglob("*")):
        if not servers.keys() & {*path.parents}:
            content = path.read_bytes() if path.is_file() else b"a directory"
            found.setdefault(str(path.relative_to(top)), hashlib.sha256(content).hexdigest())
    return found


def defined(catalog: Path) -> str:
    """Return the digest of everything that is defined at a server."""
    names = ("nodes", "admins", "authorities", "domains", "policysets", "mgmtclasses", "copygroups", "devclasses",
             "pools", "servers", "schedules", "associations", "scripts", "script_lines", "filespaces")  # fmt: skip
    with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [
            {key: row[key] for key in row.keys() if key not in ("access_ns", "platform", "invalid")}  # noqa: SIM118
            for name in names
            for row in connection.execute(f"SELECT * FROM {name}")
        ]
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def refused(code: int, *words: str, cwd: Path, stdin: str = "") -> str:
    """Run a command that must refuse with ``code``; return its complaint. No file below ``cwd`` may change."""
    before = files_below(cwd)
    env = {**os.environ, "PATH": f"{cwd / 'bin'}:{BIN}:{os.environ['PATH']}", "DSM_DIR": str(cwd)}
    env.pop("HOLDFAST_IDENTITY", None)
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=cwd, env=env, input=stdin, timeout=CASE_LIMIT_S, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, said[-3000:]
    assert "Traceback" not in said, said[-3000:]
    assert len(said) < SAID_LIMIT
    assert files_below(cwd) == before
    return said


def insist(said: str, place: str, message: str) -> None:
    """The complaint names the place and what is wrong, and says what to do."""
    assert place in said, said
    assert message in said, said
    assert "remedy: " in said, said


# main.cf

MAIN_CF = """include "types.cf"
cluster trial (
    )
system alpha (
    )
system beta (
    )
group web (
    SystemList = { alpha = 0, beta = 1 }
    AutoStartList = { alpha }
    )
    FileOnOff flag (
        PathName = "/nowhere/flag"
        )
    Application app (
        StartProgram = "/bin/true"
        PidFiles = { "/nowhere/app.pid" }
        RestartLimit = 1
        Critical = 1
        )
    app requires flag
"""
LONG = "x" * 1_000_000
MAIN_CF_CASES = {
    "block without parenthesis": ("group web (", "group web", "main.cf:9:16", "expected"),
    "unknown block": ("system beta (", "sistem beta (", "main.cf:6:1", "'sistem' does not start a block"),
    "unknown attribute": ("PathName =", "PathNam =", "main.cf:13:9", "no attribute 'PathNam'"),
    "unknown type": ("FileOnOff flag", "FileOnOf flag", "main.cf:12:5", "type 'FileOnOf' is not known"),
    "unknown resource in link": ("app requires flag", "app requires flug", "main.cf:21:5", "'flug' is not a resource"),
    "unknown system in SystemList": ("beta = 1 }", "gamma = 1 }", "main.cf:9:5", "'gamma'"),
    "unknown system after @": ("PathName =", "PathName @gamma =", "main.cf:13:9", "'gamma'"),
    "quote not closed": ('"/bin/true"', '"/bin/true', "main.cf:16:24", "quoted text does not end"),
    "brace not closed": ("beta = 1 }", "beta = 1", "main.cf:10:5", "expected ',' or '}'"),
    "parenthesis not closed": ("        )\n    app requires flag\n", "", "main.cf:20:1", "the end of the file"),
    "truncated": (MAIN_CF[MAIN_CF.index("    Application") + 20 :], "", "main.cf:15:", "the end of the file"),
    "word for a number": ("RestartLimit = 1", "RestartLimit = many", "main.cf:18:9", "takes a whole number"),
    "two for a switch": ("Critical = 1", "Critical = 2", "main.cf:19:9", "is 0 or 1"),
    "number too large": ("RestartLimit = 1", "RestartLimit = 99999999999", "main.cf:18:9", "32 bits"),
    "number of a million digits": ("RestartLimit = 1", f"RestartLimit = {'9' * 1_000_000}", "main.cf:18:9", "number"),
    "list for a text": ('"/nowhere/flag"', '{ "/a", "/b" }', "main.cf:13:9", "one value"),
    "pairs for a list": ("{ alpha }", "{ alpha = 1 }", "main.cf:10:5", "takes no 'key = value'"),
    "priority is a word": ("alpha = 0", "alpha = first", "main.cf:9:5", "priority"),
    "key twice": ("beta = 1 }", "alpha = 1 }", "main.cf:9:5", "'alpha' stands twice"),
    "attribute twice": ("RestartLimit = 1", "RestartLimit = 1\n        RestartLimit = 2", "main.cf:19:9", "twice"),
    "system twice": ("system beta", "system alpha", "main.cf:6:1", "'alpha' stands twice"),
    "resource twice": ("Application app", "Application flag", "main.cf:15:5", "'flag' stands twice"),
    "group twice": ("    app requires flag\n", "group web (\n    )\n", "main.cf:21:1", "'web' stands twice"),
    "cluster twice": ("system alpha (", "cluster other (\n    )\nsystem alpha (", "main.cf:4:1", "second cluster"),
    "type twice": ("cluster trial", "type IP (\n    )\ncluster trial", "types.cf:", "'IP' is declared twice"),
    "circle": ("app requires flag", "app requires flag\n    flag requires app", "main.cf:22:5", "closes a circle"),
    "requires itself": ("app requires flag", "app requires app", "main.cf:21:5", "closes a circle"),
    "missing include": ("types.cf", "typos.cf", "main.cf:1:9", "'typos.cf' cannot be read"),
    "empty name": ("system beta", 'system ""', "main.cf:6:", "not a name"),
    "name with a slash": ("group web", 'group "w/eb"', "main.cf:8:", "not a name"),
    "control character": ("cluster trial", "cluster \x01trial", "main.cf:2:9", "not expected here"),
    "wrong comment": ("cluster trial", "# remark\ncluster trial", "main.cf:2:1", "does not start a comment"),
    "word of a megabyte": ("system beta", f"{LONG} beta", "main.cf:6:1", "does not start a block"),
    "value of a megabyte": ("Critical = 1", f'Critical = "{LONG}"', "main.cf:19:9", "whole number"),
    "name too long": ("group web", f"group {'w' * 201}", "main.cf:8:1", "has 201 bytes; at most 200"),
    "resource name too long": ("FileOnOff flag", f"FileOnOff {'f' * 300}", "main.cf:12:5", "has 300 bytes"),
    "system name too long": ("system beta", f'system "{"ß" * 101}"', "main.cf:6:1", "has 202 bytes"),
    "user name too long": ("trial (", f"trial (\n    UserNames = {{ {LONG} = x }}", "main.cf:3:5", "has 1000000 bytes"),
    "value beyond 64 KiB": ("/nowhere/flag", f"/{'x' * 65536}", "main.cf:13:9", "has 65537 bytes; at most 65536"),
    "element beyond 64 KiB": ("/nowhere/app.pid", f"/{'é' * 32768}", "main.cf:17:9", "has 65537 bytes"),
    "zero byte": ("/nowhere/flag", "/nowhere\0/flag", "main.cf:13:9", "zero byte"),
    "number below its range": ("RestartLimit = 1", "RestartLimit = -1", "main.cf:18:9", "at least 0, not -1"),
    "no time at all": ("RestartLimit = 1", "OnlineTimeout = 0", "main.cf:18:9", "at least 1, not 0"),
    "number above its range": ("RestartLimit = 1", "NumThreads = 5000", "main.cf:18:9", "at most 1000"),
    "priority below zero": ("alpha = 0", "alpha = -7", "main.cf:9:5", "is not between 0 and"),
    "parent in another group": (
        "    app requires flag\n", "group two ( )\n    app requires flag\n", "main.cf:22:5", "resource of group 'two'"
    ),
    "open brace of a megabyte": ("{ alpha }", "{" * 1_000_000, "main.cf:10:22", "expected"),
}  # fmt: skip
BYTES_CASES = {
    "Latin-1": (MAIN_CF.replace("trial", "Zürich").encode("latin-1"), "main.cf:2:10", "UTF-8"),
    "zeros": (b"\0" * 4096, "main.cf:1:1", "not expected here"),
    "too large": (b"// much\n" * 700_000, "main.cf", "larger than 4 MiB"),
}
"""Name → (what is replaced, by what, place, message). Places are line and column in the changed file."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a store that holds a good configuration, and the dialects' commands."""
    top = tmp_path_factory.mktemp("cluster")
    (top / "main.cf").write_text(MAIN_CF)
    for words in (
        ("cluster", "load", "main.cf", "--store", f"embedded://{top}/store.db"),
        ("dialect", "install", "--into", str(top / "bin")),
    ):
        subprocess.run([str(BIN / "holdfast"), *words], cwd=top, check=True, capture_output=True)
    return top


def entries(top: Path) -> dict[str, Entry]:
    """Return all that the store holds, with revisions."""

    async def read() -> dict[str, Entry]:
        store = open_store(f"embedded://{top}/store.db")
        try:
            return dict((await store.read("")).entries)
        finally:
            await store.close()

    return asyncio.run(read())


def test_the_good_files_are_good(cluster: Path) -> None:
    done = subprocess.run([str(BIN / "holdfast"), "cluster", "verify", str(cluster / "main.cf")], check=False)
    assert done.returncode == 0
    assert "cluster/config" in entries(cluster)


@pytest.mark.parametrize("case", MAIN_CF_CASES)
def test_malformed_main_cf_is_refused(cluster: Path, case: str) -> None:
    old, new, place, message = MAIN_CF_CASES[case]
    assert MAIN_CF.count(old) == 1
    (cluster / "main.cf").write_text(MAIN_CF.replace(old, new))
    insist(refused(FAILED, "holdfast", "cluster", "verify", "main.cf", cwd=cluster), place, message)


@pytest.mark.parametrize("case", BYTES_CASES)
def test_bytes_that_are_no_main_cf_are_refused(cluster: Path, case: str) -> None:
    content, place, message = BYTES_CASES[case]
    (cluster / "main.cf").write_bytes(content)
    insist(refused(FAILED, "holdfast", "cluster", "verify", "main.cf", cwd=cluster), place, message)
    insist(refused(FAILED, "hacf", "-verify", str(cluster), cwd=cluster), place, message)


@pytest.mark.parametrize("case", ["truncated", "unknown attribute", "circle", "missing include", "key twice"])
def test_malformed_main_cf_is_not_loaded(cluster: Path, case: str) -> None:
    old, new, place, message = MAIN_CF_CASES[case]
    (cluster / "main.cf").write_text(MAIN_CF.replace(old, new))
    before = entries(cluster)
    store = f"embedded://{cluster}/store.db"
    insist(refused(FAILED, "holdfast", "cluster", "load", "main.cf", "--store", store, cwd=cluster), place, message)
    assert entries(cluster) == before
    insist(refused(FAILED, "hacf", "-verify", str(cluster), cwd=cluster), place, message)


NAME, NOT_UTF8 = "n" * 300, os.fsdecode(b"a\xffb")
LINE_CASES = {
    "value beyond 64 KiB": ("hares -modify flag PathName", f"/{'x' * 65536}", "has 65537 bytes; at most 65536"),
    "value is no UTF-8": ("hares -modify flag PathName", NOT_UTF8, "is not UTF-8"),
    "action is no UTF-8": ("hares -action flag", NOT_UTF8, "is not UTF-8"),
    "group is no UTF-8": ("hagrp -state", NOT_UTF8, "is not UTF-8"),
    "resource name too long": ("hares -add @ FileOnOff web", NAME, "has 300 bytes; at most 200"),
    "group name too long": ("hagrp -add", NAME, "has 300 bytes; at most 200"),
    "system name too long": ("hasys -add", NAME, "has 300 bytes; at most 200"),
    "user name too long": ("hauser -add", NAME, "has 300 bytes; at most 200"),
    "absent and very long": ("hasys -state", LONG[:100_000], "does not exist"),
    "unknown type": ("hares -add more Nosuch", "web", "type 'Nosuch' is not known"),
    "unknown group": ("hares -add more FileOnOff", "nowhere", "Group nowhere does not exist"),
    "unknown attribute": ("hares -modify flag Nosuch", "1", "no attribute 'Nosuch'"),
    "circle": ("hares -link flag", "app", "closes a circle"),
    "linked to itself": ("hares -link flag", "flag", "closes a circle"),
    "parent in another group": ("hares -link other", "flag", "not a resource of group 'two'"),
    "two for a switch": ("hares -modify flag Critical", "2", "is 0 or 1"),
    "below its range": ("hatype -modify FileOnOff MonitorInterval", "0", "at least 1, not 0"),
    "above its range": ("hatype -modify FileOnOff NumThreads", "5000", "at most 1000"),
    "beyond 32 bits": ("hares -modify app RestartLimit", "99999999999", "32 bits"),
    "word for a number": ("hares -modify app RestartLimit", "many", "takes a whole number"),
    "priority below zero": ("hagrp -modify web SystemList -update alpha", "-3", "is not between 0"),
    "system that is not there": ("hagrp -modify web SystemList -add gamma", "1", "'gamma'"),
    "a key without value": ("hagrp -modify web SystemList -update", "alpha", "without a value"),
}  # fmt: skip
"""Name → (the words before, the last word or the one at ``@``, what the complaint says)."""


@pytest.fixture(scope="module")
def writable(cluster: Path) -> Path:
    """The cluster with one group more, opened for changes."""
    store = f"embedded://{cluster}/store.db"
    (cluster / "main.cf").write_text(
        MAIN_CF + "group two (\n    SystemList = { alpha }\n    )\n    Phantom other (\n    )\n"
    )
    for words in (("cluster", "load", "main.cf", "--store", store), ("haconf", "-makerw")):
        env = {**os.environ, "HOLDFAST_STORE": store}
        subprocess.run([str(BIN / "holdfast"), *words], cwd=cluster, env=env, check=True, capture_output=True)
    return cluster


@pytest.mark.parametrize("case", LINE_CASES)
def test_a_command_line_that_cannot_be_changes_nothing(writable: Path, case: str) -> None:
    line, last, message = LINE_CASES[case]
    words = [last if word == "@" else word for word in line.split()] + ([] if "@" in line else [last])
    before = entries(writable)
    done = subprocess.run(
        [str(BIN / "holdfast"), *words], capture_output=True, text=True, timeout=CASE_LIMIT_S, check=False, input="x\n",
        env={**os.environ, "HOLDFAST_STORE": f"embedded://{writable}/store.db"},
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == FAILED, said[-SAID_LIMIT:]
    assert message in said, said[-SAID_LIMIT:]
    assert "Traceback" not in said
    assert len(said) < SAID_LIMIT
    assert entries(writable) == before


def test_the_longest_value_goes_through_a_command_line_and_the_store(writable: Path) -> None:
    store, value = f"embedded://{writable}/store.db", "/" + "é" * 32767 + "x"
    env = {**os.environ, "HOLDFAST_STORE": store}
    for words in (("hares", "-modify", "flag", "PathName", value), ("hares", "-value", "flag", "PathName")):
        done = subprocess.run(
            [str(BIN / "holdfast"), *words], env=env, capture_output=True, text=True, timeout=CASE_LIMIT_S, check=True
        )
    assert len(value.encode()) == 64 * 1024
    assert done.stdout == value + "\n"


def test_malformed_included_file_is_named(cluster: Path) -> None:
    (cluster / "main.cf").write_text(MAIN_CF.replace("types.cf", "own.cf"))
    (cluster / "own.cf").write_text("type FileOnOff (\n    string PathName\n    )\n")
    said = refused(FAILED, "holdfast", "cluster", "verify", "main.cf", cwd=cluster)
    insist(said, "own.cf:2:5", "'string' is not a kind of attribute")


def test_no_main_cf_at_all(cluster: Path) -> None:
    said = refused(FAILED, "holdfast", "cluster", "verify", "nowhere/main.cf", cwd=cluster)
    insist(said, "nowhere/main.cf", "cannot be read")


# dsm.opt, dsm.sys, include-exclude lists and macros

DSM_OPT = "SErvername TSM_VCS\n"
DSM_SYS = """SErvername TSM_VCS
  TCPServeraddress @HOST@
  TCPPort @PORT@
  TLSSERVERNAME DELHI
  TLSIDENTITY @TOP@/client
  NODename VCSSHARE
  PASSWORDDIR @TOP@/pw
  DOMain @TOP@/fs
  INCLExcl @TOP@/inclexcl
"""
INCLEXCL = "exclude /.../core\n"
OPTION_CASES = {
    "unknown option": ("dsm.sys", "NODename", "NODNAME", "dsm.sys:6:3", "unknown option 'NODNAME'"),
    "short beyond its capitals": ("dsm.sys", "NODename", "NO", "dsm.sys:6:3", "unknown option 'NO'"),
    "no value": ("dsm.sys", "NODename VCSSHARE", "NODename", "dsm.sys:6:3", "NODENAME has no value"),
    "port is a word": ("dsm.sys", "TCPPort @PORT@", "TCPPort x", "dsm.sys:3:3", "'x' is not a port"),
    "port too large": ("dsm.sys", "TCPPort @PORT@", "TCPPort 99999", "dsm.sys:3:3", "'99999' is not a port"),
    "port zero": ("dsm.sys", "TCPPort @PORT@", "TCPPort 0", "dsm.sys:3:3", "'0' is not a port"),
    "port in other digits": ("dsm.sys", "TCPPort @PORT@", "TCPPort ²", "dsm.sys:3:3", "'²' is not a port"),
    "quote not closed": ("dsm.sys", "VCSSHARE", '"VCSSHARE', "dsm.sys:6:12", "quote"),
    "outside a stanza": ("dsm.sys", "SErvername TSM_VCS\n", "", "dsm.sys:1:3", "outside a stanza"),
    "no stanza": ("dsm.opt", "TSM_VCS", "TSM_VSC", "dsm.opt:1:1", "no stanza for server 'TSM_VSC'"),
    "a dash that removes nothing": ("dsm.sys", "NODename", "DOMain ALL-LOCAL -\n  NODename", "dsm.sys:6:3", "DOMAIN"),
    "stanza twice": ("dsm.sys", "  TLSSERVERNAME", "SERVERNAME tsm_vcs\n  TLSSERVERNAME", "dsm.sys:4:1", "twice"),
    "truncated": ("dsm.sys", DSM_SYS[DSM_SYS.index("erveraddress @") :], "", "dsm.sys:2:3", "has no value"),
    "no address": ("dsm.sys", "  TCPServeraddress @HOST@\n", "", "dsm.sys:1:1", "TCPSERVERADDRESS is missing"),
    "unknown option in dsm.opt": ("dsm.opt", "TSM_VCS", "TSM_VCS\nQUIT yes", "dsm.opt:2:1", "unknown option 'QUIT'"),
    "zeros": ("dsm.sys", DSM_SYS, "\0" * 4096, "dsm.sys:1:1", "unknown option"),
    "option of a megabyte": ("dsm.sys", "NODename", LONG, "dsm.sys:6:3", "unknown option"),
    "missing inclexcl": ("dsm.sys", "/inclexcl", "/inclexkl", "dsm.sys:9:3", "cannot be read"),
    "inclexcl verb": ("inclexcl", "exclude", "exclud", "inclexcl:1:1", "'exclud' is not a statement"),
    "inclexcl without pattern": ("inclexcl", " /.../core", "", "inclexcl:1:8", "needs a pattern"),
    "inclexcl relative": ("inclexcl", "/.../core", "core", "inclexcl:1:9", "starts at the root"),
    "inclexcl open class": ("inclexcl", "core", "[a-", "inclexcl:1:9", "class is not closed"),
    "inclexcl empty range": ("inclexcl", "core", "[z-a]", "inclexcl:1:9", "range z-a is empty"),
    "inclexcl too many words": ("inclexcl", "core", "core dump", "inclexcl:1:19", "too much"),
    "inclexcl open quote": ("inclexcl", "/.../core", '"/.../a b', "inclexcl:1:9", "quote"),
}  # fmt: skip
MACRO = "define domain good\ndefine policyset good standard\n"
MACRO_CASES = {
    "unknown noun": ("define policyset", "define polcyset", "x.mac:2:8", "Unknown command - POLCYSET"),
    "unknown verb": ("define policyset", "defin3 policyset", "x.mac:2:1", "Unknown command - DEFIN3"),
    "one word": ("define policyset good standard", "define", "x.mac:2:1", "Unknown command"),
    "unknown keyword": ("good standard", "good standard colour=red", "x.mac:2:32", "invalid parameter - colour"),
    "keyword without value": ("good standard", "good standard description=", "x.mac:2:32", "has no value"),
    "keyword twice": ("good standard", "good standard desc=a desc=b", "x.mac:2:39", "stands twice"),
    "missing parameter": ("good standard", "good", "x.mac:2:18", "parameters are missing - NAME"),
    "extraneous": ("good standard", "good standard more", "x.mac:2:32", "extraneous parameter - more"),
    "quote not closed": ("good standard", 'good "standard', "x.mac:2:23", "quote"),
    "quote not closed in a value": ("good standard", "good standard desc='a b", "x.mac:2:37", "quote"),
    "comment not closed": ("define policyset", "/* now\ndefine policyset", "x.mac:2:1", "comment is not closed"),
    "truncated": ("good standard\n", "good standard -\n", "x.mac:2:32", "goes on"),
    "word of a megabyte": ("policyset", LONG, "x.mac:2:8", "Unknown command"),
}
MACRO_BYTES_CASES = {
    "Latin-1": (b"define domain good description=Z\xfcrich\n", "x.mac:1:33", "UTF-8"),
    "zeros": (b"\0" * 4096, "x.mac:1:1", "Unknown command"),
}


class Desk:
    """A directory with good option files for a running server, and an administrator's commands."""

    def __init__(self, lab: backup_lab.Lab, top: Path) -> None:
        self.lab, self.top, self.server = lab, top, lab.servers["DELHI"]
        self.host, _, self.port = self.server.config.address.rpartition(":")
        self.server.run("register node", name="VCSSHARE", password="secret")
        self.admin = ("-id=admin", f"-passwordfile={top / 'admin'}", "-se=TSM_VCS", "-dataonly=yes")
        (top / "fs").mkdir()
        (top / "fs" / "file").write_text("content")
        write_secret(top / "admin", (self.server.config.directory / "admin.password").read_bytes())
        self.lay_out()
        backup_lab.save_password(top / "pw", "VCSSHARE", "DELHI", b"secret")
        words = (str(BIN / "holdfast"), "dialect", "install", "--into", str(top / "bin"))
        subprocess.run(words, check=True, capture_output=True)

    def lay_out(self, name: str = "", old: str = "", new: str = "") -> None:
        """Write the good files, with one thing replaced in one of them."""
        for file, text in (("dsm.opt", DSM_OPT), ("dsm.sys", DSM_SYS), ("inclexcl", INCLEXCL)):
            if file == name:
                assert text.count(old) == 1
                text = text.replace(old, new)
            for word, value in (("@HOST@", self.host), ("@PORT@", self.port), ("@TOP@", str(self.top))):
                text = text.replace(word, value)
            (self.top / file).write_text(text)

    def catalog(self) -> dict[str, str]:
        """Return the digests of everything that the server keeps."""
        return files_below(self.server.config.directory)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    top = tmp_path_factory.mktemp("desk")
    lab = backup_lab.Lab(top / "lab") if (top / "lab").mkdir() is None else None
    assert lab is not None
    try:
        lab.server("DELHI")
        save_identity(issue(lab.directory / "authority", "client:desk"), top / "client")
        yield Desk(lab, top)
    finally:
        lab.close()


def test_good_options_back_up(desk: Desk) -> None:
    desk.lay_out()
    env = {**os.environ, "DSM_DIR": str(desk.top)}
    words = [str(desk.top / "bin" / "dsmc"), "incremental", f"-optfile={desk.top / 'dsm.opt'}"]
    assert subprocess.run(words, env=env, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("case", OPTION_CASES)
def test_malformed_options_are_refused(desk: Desk, case: str) -> None:
    file, old, new, place, message = OPTION_CASES[case]
    desk.lay_out(file, old, new)
    insist(refused(DSMC_FAILED, "dsmc", "incremental", "-optfile=dsm.opt", cwd=desk.top), place, message)


def test_missing_option_files_are_named(desk: Desk) -> None:
    desk.lay_out()
    said = refused(DSMC_FAILED, "dsmc", "incremental", "-optfile=dsm.upt", cwd=desk.top)
    insist(said, "dsm.upt", "cannot be read")
    (desk.top / "dsm.sys").unlink()
    insist(refused(DSMC_FAILED, "dsmc", "incremental", "-optfile=dsm.opt", cwd=desk.top), "dsm.sys", "cannot be read")
    insist(refused(FAILED, "holdfast", "backup", "incremental", "--optfile", "dsm.opt", cwd=desk.top), "dsm.sys", "")
    insist(refused(FAILED, "dsmadmc", *desk.admin, "query", "node", cwd=desk.top), "dsm.sys", "cannot be read")


@pytest.mark.parametrize("case", MACRO_CASES)
def test_malformed_macro_is_refused_as_a_whole(desk: Desk, case: str) -> None:
    desk.lay_out()
    old, new, place, message = MACRO_CASES[case]
    assert MACRO.count(old) == 1
    (desk.top / "x.mac").write_text(MACRO.replace(old, new))
    insist(refused(FAILED, "dsmadmc", *desk.admin, "macro", "x.mac", cwd=desk.top), place, message)


@pytest.mark.parametrize("case", MACRO_BYTES_CASES)
def test_bytes_that_are_no_macro_are_refused(desk: Desk, case: str) -> None:
    desk.lay_out()
    content, place, message = MACRO_BYTES_CASES[case]
    (desk.top / "x.mac").write_bytes(content)
    insist(refused(FAILED, "dsmadmc", *desk.admin, "macro", "x.mac", cwd=desk.top), place, message)
    config = str(desk.server.config_file)
    words = ("holdfast", "server", "command", "--config", config, "--macro", "x.mac")
    insist(refused(FAILED, *words, cwd=desk.top), place, message)


def test_missing_macro_and_wrong_words(desk: Desk) -> None:
    desk.lay_out()
    insist(refused(FAILED, "dsmadmc", *desk.admin, "macro", "y.mac", cwd=desk.top), "y.mac", "cannot be read")
    said = refused(FAILED, "dsmadmc", *desk.admin, cwd=desk.top, stdin="query node\nquery nowhere\n")
    insist(said, "standard input:2:7", "Unknown command - NOWHERE")
    insist(refused(FAILED, "dsmadmc", "-idd=admin", "query", "node", cwd=desk.top), "-idd=admin", "Invalid option")
    insist(refused(DSMC_FAILED, "dsmc", "incrementl", cwd=desk.top), "'incrementl'", "is not known")
    assert "GOOD" not in str(desk.server.run("query domain").rows)


# TOML files and the command lines of the long-running programs

SYSTEM_TOML = """name = "alpha"
store = "embedded://@TOP@/store.db"
run_directory = "@TOP@/run"
heartbeat_interval_s = 0.5
lease_ttl_s = 3.0
margin_s = 0.5
on_expiry = "kill"
isolation = "auto"
process_scope = "system"

[environment]
PATH = "/bin"

[agents]
plugins = ["holdfast.continuity.agents.metromirror:MetroMirror"]
"""
SYSTEM_CASES = {
    "not TOML": ('"alpha"', '"alpha', "system.toml:1:14", "is not TOML"),
    "truncated": ('PATH = "/bin"', "PATH =", "system.toml:12:", "is not TOML"),
    "table twice": ("[agents]", "[environment]", "system.toml:14:", "is not TOML"),
    "unknown setting": ("margin_s", "margins", "margins", "not a setting"),
    "missing name": ('name = "alpha"\n', "", "name", "missing"),
    "empty name": ('"alpha"', '""', "name", "is not a name"),
    "name with a slash": ('"alpha"', '"al/pha"', "name", "is not a name"),
    "name is a number": ('"alpha"', "5", "name", "name"),
    "lease is a text": ("3.0", '"long"', "lease_ttl_s", "number"),
    "lease is not a number": ("3.0", "nan", "lease_ttl_s", "lease_ttl_s"),
    "lease is endless": ("3.0", "inf", "lease_ttl_s", "number"),
    "lease too short": ("3.0", "0.9", "lease_ttl_s", "twice"),
    "margin below zero": ("margin_s = 0.5", "margin_s = -1", "margin_s", "number"),
    "margin is a switch": ("margin_s = 0.5", "margin_s = true", "margin_s", "number"),
    "unknown expiry": ('"kill"', '"explode"', "on_expiry", "'explode'"),
    "reboot without words": ('"kill"', '"reboot"\nreboot_command = []', "reboot_command", "list of words"),
    "unknown isolation": ('"auto"', '"none"', "isolation", "'none'"),
    "unknown scope": ('"system"', '"world"', "process_scope", "'world'"),
    "environment is a list": ('[environment]\nPATH = "/bin"', "environment = []", "environment", "table"),
    "plugins is a text": ('["holdfast.continuity.agents.metromirror:MetroMirror"]', '"x:y"', "agents.plugins", "list"),
    "no such plugin": ("metromirror:MetroMirror", "metromirrer:MetroMirror", "metromirrer", "cannot be loaded"),
    "no such store": ("embedded:", "etched:", "store", "is not a store"),
    "served without identity": ("embedded://@TOP@/store.db", "served://127.0.0.1:7", "store", "identity"),
}  # fmt: skip
ARRAY_TOML = """storage_image = "IBM.2107-75FA120"
directory = "data"
management = "127.0.0.1:0"
nbd = "127.0.0.1:0"
mirror = "127.0.0.1:0"
identity = "tls"
store = "embedded://@TOP@/array.db"

[peers]
"IBM.2107-75FA150" = "127.0.0.1:7502"
"""
ARRAY_CASES = {
    "not TOML": ('"data"', "data", "array.toml:2:13", "is not TOML"),
    "unknown key": ("nbd =", "nbt =", "nbt", "unknown key"),
    "missing key": ('directory = "data"\n', "", "directory", "must be a text"),
    "text is a number": ('"data"', "7", "directory", "must be a text"),
    "not an image": ('"IBM.2107-75FA120"', '"IBM"', "storage_image", "is not a storage image id"),
    "peer not an image": ('"IBM.2107-75FA150"', '"IBM"', "peers", "is not a storage image id"),
    "no port": ('nbd = "127.0.0.1:0"', 'nbd = "127.0.0.1"', "nbd", "is not HOST:PORT"),
    "port too large": ('nbd = "127.0.0.1:0"', 'nbd = "127.0.0.1:99999"', "nbd", "is not HOST:PORT"),
    "peer is a number": ('"127.0.0.1:7502"', "7502", "peers.IBM.2107-75FA150", "is not HOST:PORT"),
    "peers is a text": ('[peers]\n"IBM.2107-75FA150" = "127.0.0.1:7502"', 'peers = "x"', "peers", "table"),
    "no such store": ("embedded:", "etched:", "store", "is not a store"),
    "no identity": ('"tls"', '"tsl"', "tsl", "cannot be read"),
}  # fmt: skip
SERVER_TOML = """name = "DELHI"
directory = "@TOP@/delhi"
address = "127.0.0.1:0"
identity = "@TOP@/tls"

[[pools]]
name = "BACKUPPOOL"
capacity = "10G"
"""
SERVER_CASES = {
    "not TOML": ('"DELHI"', '"DELHI', "server.toml:1:14", "is not TOML"),
    "unknown key": ("address", "adress", "adress", "is not understood"),
    "missing key": ('address = "127.0.0.1:0"\n', "", "address", "is missing"),
    "text is a number": ('"DELHI"', "5", "name", "is not understood"),
    "no port": ("127.0.0.1:0", "127.0.0.1", "address", "HOST:PORT"),
    "port too large": ("127.0.0.1:0", "127.0.0.1:99999", "address", "HOST:PORT"),
    "pool without name": ('name = "BACKUPPOOL"\n', "", "pools", "no name"),
    "pool twice": ("[[pools]]", '[[pools]]\nname = "backuppool"\n[[pools]]', "pools", "twice"),
    "pool is a number": ('[[pools]]\nname = "BACKUPPOOL"\ncapacity = "10G"', "pools = [1]", "pools", "table"),
    "not a size": ('"10G"', '"10 buckets"', "pools", "is not a size"),
    "no identity": ("/tls", "/tsl", "tsl", "cannot be read"),
}


def in_directory(top: Path, name: str, text: str, old: str, new: str) -> None:
    """Write a TOML file with one thing wrong, beside a good identity."""
    assert text.count(old) == 1
    (top / name).write_text(text.replace(old, new).replace("@TOP@", str(top)))


@pytest.fixture(scope="module")
def good_identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An identity directory."""
    top = tmp_path_factory.mktemp("identity")
    create_authority(top / "authority")
    save_identity(issue(top / "authority", "server:DELHI"), top / "tls")
    return top / "tls"


@pytest.fixture
def top(tmp_path: Path, good_identity: Path) -> Path:
    """A directory with an identity in it."""
    (tmp_path / "tls").symlink_to(good_identity)
    return tmp_path


@pytest.mark.parametrize("case", SYSTEM_CASES)
def test_malformed_system_file_is_refused(top: Path, case: str) -> None:
    old, new, key, message = SYSTEM_CASES[case]
    in_directory(top, "system.toml", SYSTEM_TOML, old, new)
    said = refused(FAILED, "holdfast", "system", "run", "--config", "system.toml", cwd=top)
    insist(said, "system.toml", message)
    assert key in said


@pytest.mark.parametrize("case", ARRAY_CASES)
def test_malformed_array_file_is_refused(top: Path, case: str) -> None:
    old, new, key, message = ARRAY_CASES[case]
    in_directory(top, "array.toml", ARRAY_TOML, old, new)
    said = refused(FAILED, "holdfast", "array", "serve", "--config", "array.toml", cwd=top)
    insist(said, "tsl" if case == "no identity" else "array.toml", message)
    assert key in said


@pytest.mark.parametrize("case", SERVER_CASES)
@pytest.mark.parametrize("verb", ["init", "run"])
def test_malformed_server_file_is_refused(top: Path, case: str, verb: str) -> None:
    old, new, key, message = SERVER_CASES[case]
    in_directory(top, "server.toml", SERVER_TOML, old, new)
    said = refused(FAILED, "holdfast", "server", verb, "--config", "server.toml", cwd=top)
    if case == "no identity" and verb == "run":
        insist(said, "delhi", "not initialised")
        return
    insist(said, "tsl" if case == "no identity" else "server.toml", message)
    assert key in said


@pytest.mark.parametrize("words", [("system", "run"), ("array", "serve"), ("server", "run"), ("server", "init")])
def test_files_that_are_not_text_are_refused(top: Path, words: tuple[str, str]) -> None:
    (top / "x.toml").write_bytes(b'name = "Z\xfcrich"\n')
    insist(refused(FAILED, "holdfast", *words, "--config", "x.toml", cwd=top), "x.toml:1:10", "UTF-8")


@pytest.mark.parametrize("words", [("system", "run"), ("array", "serve"), ("server", "run"), ("server", "init")])
def test_missing_files_are_named(top: Path, words: tuple[str, str]) -> None:
    before = files_below(top)
    done = subprocess.run(
        [str(BIN / "holdfast"), *words, "--config", "nowhere.toml"],
        cwd=top,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (FAILED, USAGE)
    assert "nowhere.toml" in done.stderr
    assert "Traceback" not in done.stderr
    assert files_below(top) == before


SERVE = ("holdfast", "store", "serve")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--path", "new/s.db", "--listen", "nonsense", "--identity", "tls"), FAILED, "HOST:PORT"),
        (("--path", "new/s.db", "--listen", "127.0.0.1:99999", "--identity", "tls"), FAILED, "HOST:PORT"),
        (("--path", "new/s.db", "--listen", "127.0.0.1:0", "--identity", "tsl"), FAILED, "tsl"),
        (("--path", "garbage.db", "--listen", "127.0.0.1:0", "--identity", "tls"), FAILED, "garbage.db"),
        (("--path", "tls", "--listen", "127.0.0.1:0", "--identity", "tls"), FAILED, "tls"),
    ],
)
def test_store_that_cannot_be_served(top: Path, words: tuple[str, ...], code: int, message: str) -> None:
    (top / "garbage.db").write_bytes(b"this is no database, but a person's only copy of something" * 100)
    insist(refused(code, *SERVE, *words, cwd=top), message, "")


def test_store_on_an_address_of_somebody_else(top: Path) -> None:
    words = [str(BIN / "holdfast"), "store", "serve", "--path", "s.db", "--listen", "192.0.2.1:1", "--identity", "tls"]
    done = subprocess.run(words, cwd=top, capture_output=True, text=True, timeout=CASE_LIMIT_S, check=False)
    assert done.returncode == FAILED
    assert "Traceback" not in done.stderr
    insist(done.stderr, "192.0.2.1:1", "cannot listen")


def test_loading_into_a_file_that_is_no_store(top: Path) -> None:
    (top / "main.cf").write_text(MAIN_CF)
    (top / "garbage.db").write_bytes(b"this is no database, but a person's only copy of something" * 100)
    store = f"embedded://{top}/garbage.db"
    insist(refused(FAILED, "holdfast", "cluster", "load", "main.cf", "--store", store, cwd=top), "garbage.db", "")
    insist(refused(FAILED, "holdfast", "cluster", "load", "main.cf", "--store", "x:y", cwd=top), "'x:y'", "not a store")
