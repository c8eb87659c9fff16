"""dscli about storage and about copies that can be taken back, against a real array."""

from __future__ import annotations

from pathlib import Path

import pytest
from arraylab import A, B, Lab
from test_dscli import Dscli

from holdfast.kernel.errors import HoldfastError


@pytest.fixture
def dscli(lab: Lab, tmp_path: Path) -> Dscli:
    return Dscli(lab, tmp_path)


def test_pools_limit_what_is_made_in_them(lab: Lab, dscli: Dscli) -> None:
    a = lab.a.management
    assert (
        dscli.ok(a, "mkextpool", "-cap", "1", "P5")[-1] == "CMUC00000I mkextpool: Extent pool P5 successfully created."
    )
    dscli.ok(a, "mkfbvol", "-extpool", "P5", "-cap", "0.5", "-sam", "standard", "-name", "db_#h", "1400-1401")
    full = dscli.at(a, "mkfbvol", "-extpool", "P5", "-cap", "0.5", "-sam", "standard", "1402")
    assert (full.returncode, full.stderr.split()[0]) == (4, "CMUN03961E")
    listed = dscli.ok(a, "lsextpool", "-fmt", "delim", "-bnr", "off", "-hdr", "off", "P5")
    assert listed == ["P5,P5,fb,0,exceeded,0.0,100,0,0,2"]
    shown = dscli.ok(a, "showfbvol", "-bnr", "off", "1400")
    assert [line.split(None, 1)[1].strip() for line in shown if line.startswith(("Name", "extpool", "sam "))] == [
        "db_1400", "P5", "Standard",
    ]  # fmt: skip
    assert dscli.ok(a, "chfbvol", "-name", "other", "1401")[-1].startswith("CMUC00026I")
    assert "other" in "\n".join(dscli.ok(a, "lsfbvol", "-lss", "14"))
    assert [line.split()[0] for line in dscli.ok(a, "lslss", "-bnr", "off", "-hdr", "off")] == ["14"]


def test_volume_groups_say_which_host_sees_what(lab: Lab, dscli: Dscli) -> None:
    a = lab.a.management
    dscli.ok(a, "mkfbvol", "-extpool", "P0", "-cap", "0.02", "1500-1502")
    made = dscli.ok(a, "mkvolgrp", "-volume", "1500-1501", "databases")[-1]
    group = made.split()[4]
    host = dscli.ok(a, "mkhostconnect", "-wwname", "ignored", "-volgrp", group, "hosta")[-1].split()[4]
    assert [line.split()[0] for line in dscli.ok(a, "lsfbvol", "-bnr", "off", "-hdr", "off", "-volgrp", group)] == [
        "1500", "1501",
    ]  # fmt: skip
    lab.a.open("hosta", 1, "1500").close()
    lab.a.open("hostb", 1, "1502").close()
    dscli.ok(a, "chvolgrp", "-action", "add", "-volume", "1502", group)
    with pytest.raises(HoldfastError, match="not in a volume group of host hostb"):
        lab.a.open("hostb", 1, "1502", timeout_s=3.0)
    assert "1500 1501 1502" in "\n".join(dscli.ok(a, "showvolgrp", group))
    assert host in "\n".join(dscli.ok(a, "lshostconnect", "-volgrp", group))
    asked = dscli.at(a, "rmhostconnect", host, stdin="n\n")
    assert (asked.returncode, host in "\n".join(dscli.ok(a, "lshostconnect"))) == (0, True)


def test_a_copy_is_made_revertible_and_reverted(lab: Lab, dscli: Dscli) -> None:
    a = lab.a.management
    dscli.ok(a, "mkfbvol", "-extpool", "P0", "-cap", "0.02", "1600", "1700")
    with lab.a.open(volume="1600") as host:
        host.pwrite(b"before".ljust(4096), 0, fua=True)
    dscli.ok(a, "mkflash", "-record", "-persist", "-nocp", "-seqnum", "0A", "1600:1700")
    dscli.ok(a, "setflashrevertible", "-seqnum", "0A", "1600:1700")
    assert "1600:1700" in "\n".join(dscli.ok(a, "lsflash", "-revertible", "1600"))
    dscli.ok(a, "commitflash", "-seqnum", "0A", "1600")
    nothing = dscli.ok(a, "lsflash", "-revertible", "1600")
    assert nothing[-1].startswith("CMUC00234I")


def test_modes_of_a_pair_show_in_its_list(lab: Lab, dscli: Dscli) -> None:
    a = lab.a.management
    for box in (lab.a, lab.b):
        dscli.ok(box.management, "mkfbvol", "-extpool", "P0", "-cap", "0.02", "1260")
    dscli.ok(a, "mkpprc", "-dev", A, "-remotedev", B, "-type", "mmir", "-critmode", "-tgtread", "-wait", "1260:1260")
    columns, ruler, row = dscli.ok(a, "lspprc", "-l", "-fmt", "delim", "-bnr", "off", "1260")
    named = dict(zip(columns.split(","), row.split(","), strict=True))
    assert set(ruler) == {"="}
    assert (named["Critical Mode"], named["Tgt Read"]) == ("Enabled", "Enabled")
    stanza = dscli.ok(a, "lspprc", "-fmt", "stanza", "-bnr", "off", "1260")
    assert stanza[0].split() == ["ID", "1260:1260"]
    assert '<PROPERTY NAME="State"><VALUE>Full Duplex</VALUE></PROPERTY>' in "\n".join(
        dscli.ok(a, "lspprc", "-fmt", "xml", "-bnr", "off", "1260")
    )
