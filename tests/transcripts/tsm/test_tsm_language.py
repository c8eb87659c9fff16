"""The TSM dialect's grammar and layout, by example text."""

from __future__ import annotations

import pytest

from holdfast.backup.service.client.incremental import Figures
from holdfast.dialects.tsm.language import read_command, read_macro
from holdfast.dialects.tsm.render import backup_summary, table
from holdfast.kernel.errors import InputError


@pytest.mark.parametrize(
    ("text", "operation", "args"),
    [
        (
            "backup db type=incremental devclass=targetclass",
            "backup db",
            {"type": "incremental", "devclass": "targetclass"},
        ),
        ("BA DB DEV=T T=F", "backup db", {"devclass": "T", "type": "F"}),
        ("backup stgpool tapepool targetcopypool", "backup stgpool", {"primary": "tapepool", "copy": "targetcopypool"}),
        ("reconcile volumes targetclass fix=yes", "reconcile volumes", {"devclass": "targetclass", "fix": "yes"}),
        ("rec v", "reconcile volumes", {}),
        ("q stg", "query stgpool", {}),
        ("upd ser tokyo forces=yes", "update server", {"name": "tokyo", "forcesync": "yes"}),
        ("audit volume V1 fix=no", "audit volume", {"name": "V1", "fix": "no"}),
        ("q ac se=EXPIRE begind=-1", "query actlog", {"search": "EXPIRE", "begindate": "-1"}),
    ],
)
def test_commands_and_their_short_forms(text: str, operation: str, args: dict[str, str]) -> None:
    request = read_command(text)
    assert (request.operation, request.args) == (operation, args)


def test_macro_with_comments_and_continuation() -> None:
    macro = """/* set up
   the vault */
define stgpool targetcopypool targetclass pooltype=copy
  maxscratch=20
define copy d s c destination=p - /* goes on */
  rete=30 reto=60 vere=nol -
  verd=nol
register node delhi "a secret" type=server
"""
    requests = read_macro(macro, "vault.mac")
    assert [request.operation for request in requests] == ["define stgpool", "define copygroup", "register node"]
    assert requests[0].args["maxscratch"] == "20"
    assert requests[1].args["verdeleted"] == "nol"
    assert requests[2].text == "register node delhi ?***? type=server"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("query stgpool\ndefine domian x", "m:2:8"),
        ("frobnicate all", "m:1:1"),
        ("define stgpool p c colour=red", "m:1:20"),
        ("define stgpool p", "m:1:16"),
        ("backup stgpool a b c", "m:1:20"),
        ("backup db devclass=", "m:1:11"),
        ("q stg /* never closed", "m:1:7"),
    ],
)
def test_errors_name_their_place_and_a_remedy(text: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        read_macro(text, "m")
    assert str(caught.value).startswith(place)
    assert caught.value.remedy


def test_summary_of_an_incremental() -> None:
    figures = Figures(
        objects_inspected=1234, objects=12, objects_updated=1, objects_expired=2, objects_failed=1, retries=3,
        bytes_inspected=5_000_000, bytes=2_097_152, transferred_bytes=1_048_576, seconds=2.0,
    )  # fmt: skip
    assert (
        backup_summary(figures)
        == """\
Total number of objects inspected:            1,234
Total number of objects backed up:               12
Total number of objects updated:                  1
Total number of objects rebound:                  0
Total number of objects deleted:                  0
Total number of objects expired:                  2
Total number of objects failed:                   1
Total number of objects encrypted:               12
Total number of objects grew:                     0
Total number of retries:                          3
Total number of bytes inspected:            4.77 MB
Total number of bytes transferred:          1.00 MB
Data transfer time:                        2.00 sec
Network data transfer rate:           512.00 KB/sec
Aggregate data transfer rate:         512.00 KB/sec
Objects compressed by:                          50%
Total data reduction ratio:                  50.00%
Elapsed processing time:                   00:00:02"""
    )


def test_table_wraps_its_headings() -> None:
    assert (
        table(("Storage Pool Name", "Estimated Capacity"), [("POOL", "10.0 M")])
        == """\
Storage Pool Name  Estimated
                   Capacity
-----------------  --------------
POOL               10.0 M"""
    )
