"""Copies in trouble, as somebody at dscli meets it: a peer that dies while it is copied to, two sources, clocks."""

from __future__ import annotations

from pathlib import Path

import pytest
from arraylab import A, B, Lab, until
from test_dscli import Dscli

from holdfast.kernel.errors import Unavailable
from holdfast.replication.drivers.ds8000 import Call, Changed, Request, changing, drive
from holdfast.replication.drivers.dscli_answer import ExitKind, Output
from holdfast.replication.model.boxes import PairView, classify

PAIR = ("-type", "mmir", "1260:1260")


@pytest.fixture
def dscli(lab: Lab, tmp_path: Path) -> Dscli:
    return Dscli(lab, tmp_path)


def state(dscli: Dscli, address: str) -> str:
    row = dscli.ok(address, "lspprc", "-bnr", "off", "-hdr", "off", "-fmt", "delim", "1260")[-1]
    return row.split(",")[1]


def test_a_peer_that_dies_in_the_middle_of_a_copy_costs_no_more_than_what_was_not_copied(
    lab: Lab, dscli: Dscli
) -> None:
    a, size = lab.a.management, 256 << 20
    for box in (lab.a, lab.b):
        box.create("1260", size_bytes=size)
    with lab.a.open() as client:
        for offset in range(0, size, 1 << 20):
            client.pwrite(offset.to_bytes(8, "little") * 8192, offset)
        client.flush()
    dscli.ok(a, "mkpprc", "-dev", A, "-remotedev", B, *PAIR)
    until(lambda: lab.a.pair()["tracks_copied"] > 0, what="the copy is under way")
    lab.b.kill()
    until(lambda: state(dscli, a) == "Suspended", 30, "the pair is suspended")
    with lab.a.open() as client:
        client.pwrite(b"goes on".ljust(512, b"."), 0, fua=True)
    refused = dscli.at(a, "resumepprc", "-dev", A, "-remotedev", B, *PAIR)
    assert (refused.returncode, refused.stderr.split()[0]) == (4, "CMUN03926E")
    lab.b.start()
    taken = dscli.at(lab.b.management, "failoverpprc", "-dev", B, "-remotedev", A, *PAIR)
    assert (taken.returncode, taken.stderr.split()[0]) == (4, "CMUN03930E"), "half a copy is no candidate"
    until(lambda: lab.a.client.run("paths").rows[0]["state"] == "Success", what="path back")
    dscli.ok(a, "resumepprc", "-dev", A, "-remotedev", B, "-wait", *PAIR)
    assert lab.a.digest() == lab.b.digest()


def test_of_two_arrays_that_claim_to_be_source_one_is_not_heard(lab: Lab, dscli: Dscli) -> None:
    lab.mirror()
    a, b = lab.a.management, lab.b.management
    lab.a.kill()
    dscli.ok(b, "failoverpprc", "-dev", B, "-remotedev", A, *PAIR)
    lab.a.start()
    until(lambda: lab.a.pair()["write_inhibited"], what="the old source knows")
    shown = dscli.ok(a, "lspprc", "-bnr", "off", "-hdr", "off", "1260")[-1]
    assert "Superseded" in shown, "both are source by role; the old one says that it is not heard"
    back = dscli.at(a, "failbackpprc", "-dev", A, "-remotedev", B, *PAIR)
    assert (back.returncode, back.stderr.split()[0]) == (4, "CMUN03925E")
    assert classify(state(dscli, b), state(dscli, a)) is PairView.SOURCE_ALONE
    assert classify(state(dscli, a), state(dscli, b)) is PairView.BOTH_SOURCE


def test_a_clock_that_was_set_back_between_two_looks_hides_no_resync() -> None:
    def told(date: str) -> Output:
        return Output((), ({"ID": "1260:1360", "DateSynced": date},), ExitKind.DONE, 1)

    answers = [told("Thu Sep 18 23:04:04 CEST 2014"), None, told("Thu Sep 18 22:04:04 CEST 2014")]

    def run(call: Call) -> Output:
        answer = answers.pop(0)
        if answer is None:
            assert call.changes
            raise Unavailable("did not end")
        return answer

    changed = drive(changing(Request("resyncflash", A, ("1260:1360",)), {}, False), run)
    assert changed == Changed(("1260:1360",), code="dscli-late")
