"""Service files: scopes, references, both spellings, and complaints that name the line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.dialects.opensvc.service import Service, read_service
from holdfast.dialects.opensvc.servicefile import Place, parse_service
from holdfast.kernel.errors import InputError

SNAP = """\
[DEFAULT]
nodes = n1 n2
drpnodes = n3
sync_max_delay = 1440

[sync#1]
type = ibmdssnap
array = {env.box}
pairs = 0001:0002 0101:0102
    0003:0004
bgcopy = true
recording = true

[env]
box = IBM.2107-75FA120
box@drpnodes = IBM.2107-75FA150
"""


def service(text: str, system: str = "n1") -> Service:
    return read_service(parse_service(text, "iiststibmds", "iiststibmds.conf"), Place(system))


def test_a_sync_resource_is_read_whole() -> None:
    (sync,) = service(SNAP).syncs
    assert sync.resource.rid == "sync#1"
    assert sync.set.array == "IBM.2107-75FA120"
    assert sync.set.pairs == ("0001:0002", "0101:0102", "0003:0004")
    assert (sync.set.bgcopy, sync.set.recording) == (True, True)
    assert sync.set.max_delay_s == 1440 * 60


def test_a_scope_holds_on_its_systems_only() -> None:
    assert service(SNAP, "n3").syncs[0].set.array == "IBM.2107-75FA150"
    assert service(SNAP, "n2").syncs[0].set.array == "IBM.2107-75FA120"


def test_both_spellings_of_a_section_mean_the_same() -> None:
    other = SNAP.replace("[sync#1]\ntype = ibmdssnap\n", "[sync.ibmdssnap#1]\n")
    assert service(other).syncs[0].set == service(SNAP).syncs[0].set


def test_a_range_of_pairs_is_written_out() -> None:
    text = SNAP.replace("0001:0002 0101:0102\n    0003:0004", "1000-1002:1100-1102")
    assert service(text).syncs[0].set.pairs == ("1000:1100", "1001:1101", "1002:1102")


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (("bgcopy = true", "bgcopy = perhaps"), 11, "neither true nor false"),
        (("bgcopy = true\n", ""), 6, "required and missing"),
        (("0003:0004", "0003:0002"), 9, "stands twice"),
        (("0003:0004", "0003"), 9, "not a pair"),
        (("1440", "soon"), 4, "not a duration"),
        (("{env.box}", "{env.bix}"), 8, "refers to nothing"),
        (("box = IBM.2107-75FA120", "box = {sync#1.array}"), 0, "leads back to itself"),
        (("type = ibmdssnap", "type = drbd"), 7, "no type of sync resource"),
        (("[sync#1]", "[sink#1]"), 6, "no resource that is known"),
        (("[env]", "[sync#1]"), 14, "stands here again"),
        (("box = IBM.2107-75FA120", "box"), 15, "neither a section nor a setting"),
    ],
)
def test_a_complaint_names_file_line_and_remedy(change: tuple[str, str], line: int, said: str) -> None:
    assert change[0] in SNAP
    with pytest.raises(InputError) as caught:
        service(SNAP.replace(*change))
    assert said in str(caught.value)
    assert caught.value.file == "iiststibmds.conf"
    assert caught.value.remedy
    assert not line or caught.value.line == line, caught.value


def test_what_means_nothing_is_told_and_not_refused() -> None:
    found = service(SNAP.replace("recording = true", "recording = true\ncolour = red\npre_sync_resync = /bin/true"))
    assert [text for text in found.warnings if "colour" in text]
    assert not [text for text in found.warnings if "pre_sync" in text]


@given(st.text(alphabet="[]#@={}.\n abcn0123:", max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        assert service(text).name == "iiststibmds"
