"""Nodes, administrators, privileges, policy and option sets: what commands do, and what they refuse."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab
from office import Office

from holdfast.app.backup import admin_session
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import Refused


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path / "server")
    yield office
    office.close()


def test_a_nodes_life(office: Office) -> None:
    office.macro("register node one secret contact='Ann' backdel=yes\nlock node one")
    assert office.run("q node one").rows[0][5] == "Yes"
    office.run("unlock node o*")
    shown = dict(zip(*_listed(office, "q node one f=d"), strict=True))
    keys = ("Contact", "Backup Delete Allowed?", "Archive Delete Allowed?")
    assert [shown[key] for key in keys] == ["Ann", "Yes", "Yes"]
    office.run("update node one backdel=no archdel=no contact=''")
    shown = dict(zip(*_listed(office, "q node one f=d"), strict=True))
    assert [shown[key] for key in keys] == ["", "No", "No"]
    office.run("rename node one two")
    office.run("q node one", code=11)
    office.run("remove node two")
    office.run("q node two", code=11)


def _listed(office: Office, text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    reply = office.run(text)
    assert reply.layout == "list"
    return reply.columns, reply.rows[0]


def test_moving_a_node_to_another_domain_ends_its_associations(office: Office) -> None:
    office.macro("""
        copy domain standard other
        activate policyset other standard
        register node one secret
        define schedule standard nightly
        define association standard nightly one
        update node one domain=other
    """)
    office.run("q association", code=11)
    assert office.run("q node one").rows[0][2] == "OTHER"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("register node one", 3),
        ("register node kept secret", 10),
        ("register node new secret domain=nowhere", 11),
        ("register node new secret cloptset=nowhere", 11),
        ("register node new secret backdelete=maybe", 3),
        ("update node nobody contact=x", 11),
        ("update node kept", 3),
        ("remove node nobody", 11),
        ("rename node kept other", 10),
        ("register admin admin secret", 10),
        ("remove admin nobody", 11),
        ("remove admin admin", 12),
        ("lock admin admin", 12),
        ("revoke authority admin", 12),
        ("grant authority nobody classes=system", 11),
        ("grant authority helper", 3),
        ("grant authority helper classes=node", 3),
        ("grant authority helper classes=policy domains=nowhere", 11),
        ("rename admin admin other", 12),
        ("set minpwlength 65", 3),
        ("delete filespace kept /nowhere wait=yes", 11),
    ],
)
def test_what_is_refused_changes_nothing(office: Office, text: str, code: int) -> None:
    office.macro("register node kept secret\nregister node other secret\nregister admin helper secret")
    before = office.run("q node f=d").rows, office.run("q admin f=d").rows
    if code == 3 and text.startswith("register node one"):
        with pytest.raises(Exception, match="ANR2022E"):
            office.run(text)
        return
    office.run(text, code=code)
    assert (office.run("q node f=d").rows, office.run("q admin f=d").rows) == before


def test_an_administrator_may_do_what_was_granted_and_no_more(office: Office) -> None:
    office.macro("register admin helper secret\nregister node one secret\ncopy domain standard delhi")
    office.run("q node", admin="HELPER")
    refused = office.run("update node one contact=x", code=9, admin="HELPER")
    assert "POLICY" in refused.messages[0]
    office.run("grant authority helper classes=policy domains=delhi stgpools=backuppool")
    assert office.run("q admin helper").rows[0][4] == "Policy Storage"
    office.run("update node one contact=x", code=9, admin="HELPER")
    office.run("register node two secret domain=delhi", admin="HELPER")
    office.run("update node two contact=x", admin="HELPER")
    office.run("update node two domain=standard", code=9, admin="HELPER")
    office.run("lock node *", code=9, admin="HELPER")
    office.run("define schedule delhi type=admin cmd='remove admin admin' active=yes", code=9, admin="HELPER")
    office.run("define schedule delhi nightly", admin="HELPER")
    office.run("delete volume none discard=yes", code=9, admin="HELPER")
    office.run("revoke authority helper classes=policy")
    office.run("update node two contact=y", code=9, admin="HELPER")
    assert office.run("q admin helper").rows[0][4] == "Storage"
    office.run("update admin helper newsecret", admin="HELPER")
    office.run("update admin admin newsecret", code=9, admin="HELPER")
    office.run("grant authority helper classes=system")
    office.run("remove admin admin", admin="HELPER")
    office.run("remove admin helper", code=12, admin="HELPER")


def test_policy_is_built_copied_and_taken_down(office: Office) -> None:
    office.macro("""
        define domain delhi desc='of the east' backret=90
        define policyset delhi daily
        define mgmtclass delhi daily standard
        define mgmtclass delhi daily years
        define copygroup delhi daily standard destination=backuppool vere=nol verd=3 rete=90 reto=nol mode=abs ser=dyn
        define copygroup delhi daily standard type=archive destination=archivepool retv=nol reti=event retm=10
        define copygroup delhi daily years type=archive dest=archivepool
        assign defmgmtclass delhi daily standard
        validate policyset delhi daily
        activate policyset delhi daily
    """)
    assert office.run("q copy delhi active").rows == [
        ("DELHI", "ACTIVE", "STANDARD", "STANDARD", "No Limit", "3", "90", "No Limit")
    ]
    archived = office.run("q copy delhi daily type=archive").rows
    assert [row[2:] for row in archived] == [
        ("STANDARD", "STANDARD", "No Limit", "Event", "10"),
        ("YEARS", "STANDARD", "365", "Creation", "365"),
    ]
    assert [row[3] for row in office.run("q mgmt delhi daily").rows] == ["Yes", "No"]
    office.macro("update copygroup delhi daily standard verd=4\ncopy mgmtclass delhi daily years decades")
    assert office.run("q copy delhi daily standard").rows[0][4:] == ("No Limit", "4", "90", "No Limit")
    assert office.run("q copy delhi active").rows[0][5] == "3", "ACTIVE is a copy"
    office.macro(
        "copy policyset delhi daily weekly\ndelete mgmtclass delhi weekly years\n"
        "delete copygroup delhi weekly standard type=archive"
    )
    warned = office.run("validate policyset delhi weekly").messages
    assert [text[:8] for text in warned] == ["ANR1554W", "ANR1551W", "ANR1515I"]
    office.macro("copy domain delhi bombay")
    assert [row[1] for row in office.run("q policyset bombay").rows] == ["DAILY", "WEEKLY"]
    office.run("register node one secret domain=delhi")
    office.run("delete domain delhi", code=13)
    office.macro("remove node one\ndelete domain delhi")
    office.run("q copy delhi", code=11)


@pytest.mark.parametrize(
    ("text", "code", "complaint"),
    [
        ("define copygroup standard active standard dest=backuppool", 3, "ACTIVE"),
        ("update copygroup standard active standard vere=9", 3, "ACTIVE"),
        ("delete policyset standard active", 3, "ACTIVE"),
        ("define policyset standard active", 3, "ACTIVE"),
        ("define copygroup standard standard standard dest=backuppool", 10, "already"),
        ("update copygroup standard standard standard vere=0", 3, "VEREXISTS"),
        ("update copygroup standard standard standard retver=9", 3, "RETVER"),
        ("update copygroup standard standard standard type=archive vere=9", 3, "VEREXISTS"),
        ("update copygroup standard standard standard type=archive mode=modified", 3, "MODE"),
        ("update copygroup standard standard standard type=archive frequency=1", 3, "FREQUENCY"),
        ("update copygroup standard standard standard ser=none", 3, "SERIALIZATION"),
        ("update copygroup standard standard standard dest=nowhere", 11, "NOWHERE"),
        ("update copygroup standard standard standard dest=copies", 3, "primary"),
        ("update copygroup standard standard standard other vere=9", 3, "OTHER"),
        ("activate policyset standard empty", 3, "default class"),
        ("activate policyset standard nowhere", 11, "NOWHERE"),
        ("copy policyset standard standard empty", 10, "already"),
        ("delete mgmtclass standard standard nowhere", 11, "NOWHERE"),
    ],
)
def test_policy_that_does_not_fit_is_refused(office: Office, text: str, code: int, complaint: str) -> None:
    office.macro("define stgpool copies backuppoolclass pooltype=copy maxscratch=1\ndefine policyset standard empty")
    before = [office.run(f"q {what}").rows for what in ("copy", "copy type=arch", "mgmt", "policyset")]
    assert complaint in " ".join(office.run(text, code=code).messages)
    assert [office.run(f"q {what}").rows for what in ("copy", "copy type=arch", "mgmt", "policyset")] == before


def test_option_sets_reach_their_nodes(tmp_path: Path) -> None:
    lab = backup_lab.Lab(tmp_path)
    server = lab.server("DELHI")

    def run(operation: str, **args: str) -> int:
        return server.run(operation, **args).code

    try:
        assert run("define cloptset", name="LINUX") == 0
        for value in ("exclude /tmp/.../*", "include /tmp/keep/*"):
            assert run("define clientopt", optionset="LINUX", option="INCLEXCL", value=value) == 0
        assert run("define clientopt", optionset="LINUX", option="SUBDIR", value="YES", force="YES") == 0
        assert run("define clientopt", optionset="LINUX", option="SUBDIR", value="NO") == 10
        assert run("define clientopt", optionset="LINUX", option="TCPPORT", value="1") == 3
        assert run("register node", name="ONE", password="secret", cloptset="LINUX") == 0
        assert run("register node", name="TWO", password="secret") == 0
        with lab.session("DELHI", "ONE") as session:
            assert session.welcome.options == (
                m.ServerOption("INCLEXCL", "exclude /tmp/.../*"),
                m.ServerOption("INCLEXCL", "include /tmp/keep/*"),
                m.ServerOption("SUBDIR", "YES", True),
            )
        with lab.session("DELHI", "TWO") as session:
            assert session.welcome.options == ()
        assert run("delete clientopt", optionset="LINUX", option="INCLEXCL", seqnumber="0") == 0
        assert run("copy cloptset", name="LINUX", newname="UNIX") == 0
        assert run("update node", name="TWO", cloptset="UNIX") == 0
        with lab.session("DELHI", "TWO") as session:
            assert [option.value for option in session.welcome.options] == ["include /tmp/keep/*", "YES"]
        assert run("delete cloptset", name="UNIX") == 0
        with lab.session("DELHI", "TWO") as session:
            assert session.welcome.options == ()
    finally:
        lab.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[backup_lab.Lab]:
    lab = backup_lab.Lab(tmp_path_factory.mktemp("lab"))
    lab.server("DELHI")
    yield lab
    lab.close()


def test_a_locked_node_and_one_bound_to_a_certificate_are_not_let_in(lab: backup_lab.Lab) -> None:
    server = lab.servers["DELHI"]
    server.run("register node", name="LOCKED", password="secret")
    server.run("lock node", name="LOCKED")
    with pytest.raises(Refused, match="locked"):
        lab.session("DELHI", "LOCKED")
    with pytest.raises(Refused, match="refused"):
        lab.session("DELHI", "LOCKED", "wrong")  # a stranger does not learn that it is locked
    server.run("unlock node", name="LOCKED")
    lab.session("DELHI", "LOCKED").close()
    server.run("update node", name="LOCKED", certificate="client:elsewhere,client:other*")
    with pytest.raises(Refused, match="certificates"):
        lab.session("DELHI", "LOCKED")
    server.run("update node", name="LOCKED", certificate="client:elsewhere,client:te*")
    lab.session("DELHI", "LOCKED").close()


def test_too_many_wrong_passwords_lock_a_node_until_it_is_unlocked(lab: backup_lab.Lab) -> None:
    server = lab.servers["DELHI"]
    server.run("set invalidpwlimit", value="3")
    server.run("register node", name="GUESSED", password="secret")
    for _ in range(3):
        with pytest.raises(Refused, match="refused"):
            lab.session("DELHI", "GUESSED", "wrong")
    with pytest.raises(Refused, match="locked"):
        lab.session("DELHI", "GUESSED")
    server.run("unlock node", name="GUESSED")
    lab.session("DELHI", "GUESSED").close()
    server.run("set invalidpwlimit", value="0")


def test_guessing_is_slowed_down(lab: backup_lab.Lab) -> None:
    server = lab.servers["DELHI"]
    server.run("register node", name="PROBED", password="secret")
    for _ in range(5):
        with pytest.raises(Refused, match="refused"):
            lab.session("DELHI", "PROBED", "wrong")
    with pytest.raises(Refused) as caught:
        lab.session("DELHI", "PROBED")
    assert "wait" in caught.value.refusal.remedy


def test_an_expired_password_is_rotated_by_the_client_and_the_old_one_is_gone(lab: backup_lab.Lab) -> None:
    server = lab.servers["DELHI"]
    server.run("register node", name="AGED", password="secret")
    server.run("update node", name="AGED", forcepwreset="YES")
    login = lab.login("DELHI", "AGED")
    with login.open() as session:
        assert not session.welcome.password_expired
        assert isinstance(session.call(m.QuerySchedules), m.Schedules)
    assert login.password_file.read_bytes() != b"secret"
    login.open().close()
    with pytest.raises(Refused, match="refused"):
        lab.session("DELHI", "AGED")


def test_a_rotation_cut_short_is_finished_by_the_next_session(
    lab: backup_lab.Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = lab.servers["DELHI"]
    server.run("register node", name="TORN", password="secret")
    server.run("update node", name="TORN", forcepwreset="YES")
    login = lab.login("DELHI", "TORN")
    fresh = login.password_file.with_name(login.password_file.name + ".new")
    fresh.mkdir()  # the new password cannot be kept, so the server must not hear of it
    with pytest.raises(OSError):  # noqa: PT011
        login.open()
    fresh.rmdir()
    old = login.password_file.read_bytes()
    login.open().close()
    new = login.password_file.read_bytes()
    # as after a kill between the server's answer and the renaming
    login.password_file.write_bytes(old)
    fresh.write_bytes(new)
    fresh.chmod(0o600)
    login.open().close()
    assert login.password_file.read_bytes() == new
    assert not fresh.exists()


def test_with_an_expired_password_nothing_else_is_served(lab: backup_lab.Lab) -> None:
    server = lab.servers["DELHI"]
    server.run("register node", name="STALE", password="secret")
    server.run("update node", name="STALE", forcepwreset="YES")
    login = lab.login("DELHI", "STALE")
    session = login.sign_on()
    assert session.welcome.password_expired
    with pytest.raises(Refused, match="new password only"):
        session.call(m.ListFilespaces)
    session.close(orderly=False)


def test_an_administrator_with_an_expired_password_can_only_change_it(lab: backup_lab.Lab) -> None:
    server = lab.servers["DELHI"]
    server.run("register admin", name="OLDADMIN", password="secret", passexp="1")
    server.run("grant authority", name="OLDADMIN", classes="SYSTEM")

    def run(session: Session, operation: str, **args: str) -> m.Outcome:
        reply = session.call(lambda seq: m.Run(seq, operation, args, operation))
        assert isinstance(reply, m.Outcome)
        return reply

    server.stop()
    import sqlite3

    with sqlite3.connect(server.config.directory / "catalog.db") as catalog:
        catalog.execute("UPDATE admins SET password_ns = 1 WHERE name = 'OLDADMIN'")
    server.start()
    with admin_session(server.config, "OLDADMIN", b"secret") as session:
        assert run(session, "query node").code == 9
        assert run(session, "update admin", name="ADMIN", password="other").code == 9
        assert run(session, "update admin", name="OLDADMIN", password="other").code == 0
        assert run(session, "query admin").code == 0
    with admin_session(server.config, "OLDADMIN", b"other") as session:
        assert run(session, "query admin").code == 0
    assert server.run("query admin").code == 0


def test_deleting_a_filespace_needs_its_exact_name_and_frees_the_node(lab: backup_lab.Lab, tmp_path: Path) -> None:
    server = lab.servers["DELHI"]
    server.run("register node", name="FULL", password="secret")
    with lab.session("DELHI", "FULL") as session:
        session.call(lambda seq: m.OpenFilespace(seq, "/Data", "ext4"))
        session.call(lambda seq: m.Commit(seq, end=True))
    assert server.run("remove node", name="FULL").code == 13
    assert server.run("delete filespace", node="FULL", filespace="/data", wait="yes").code == 11
    assert server.run("delete filespace", node="FULL", filespace="/Data", wait="yes").code == 0
    assert server.run("remove node", name="FULL").code == 0
