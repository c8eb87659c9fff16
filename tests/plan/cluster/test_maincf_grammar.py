"""The rarer parts of the language: comments that stay, global clusters, atleast, types and groups in odd files."""

from __future__ import annotations

from pathlib import Path

import pytest
from configurations import TYPES

from holdfast.cluster.config.builder import build
from holdfast.cluster.config.writer import dump
from holdfast.cluster.model.configuration import AtLeast, Configuration
from holdfast.kernel.errors import InputError

HEAD = 'include "types.cf"\ncluster c ( )\nsystem a ( )\nsystem b ( )\n'


def read(text: str, **more: str) -> Configuration:
    return build({"main.cf": text, "types.cf": TYPES, **{f"{name}.cf": one for name, one in more.items()}})


WITH_COMMENTS = """\
// The two sites.
//
// Ask Ann before changing.
include "types.cf"

cluster c ( // production
	// fencing stays off until the new arrays are here
	UseFence = "SCSI3" // see the run book
	) // that was the cluster

system a (
	)

// everything for the ledger
group g ( // moved from the old cluster
	SystemList = { a = 0 }
	// nothing else for now
	)

	// the volume
	FileOnOff f (
		PathName@a = "/a" // only here
		)

	FileOnOff h (
		)

	// first the file
	f requires h // always

	// resource dependency tree
	//
	//	group g
	//	{
	//	FileOnOff f
	//	    {
	//	    FileOnOff h
	//	    }
	//	}
// the end
"""


def test_comments_stay_where_they_were() -> None:
    assert dump(read(WITH_COMMENTS)) == WITH_COMMENTS


def test_comments_in_a_list_and_trees_of_other_dumps() -> None:
    text = HEAD + (
        "group g (\n SystemList = { a, // the first\n b } // the second\n )\n"
        "\t// resource dependency tree\n\t//\n\t//\tgroup g\n\t//\t{\n\t//\told drawing\n\t//\t}\n// mine"
    )
    again = dump(read(text))
    assert "SystemList = { a, b } // the first // the second\n" in again
    assert "old drawing" not in again
    assert again.endswith("// mine\n")


def test_what_stands_below_several_is_drawn_once() -> None:
    layers = [f"FileOnOff r{layer}{side} ( )\n" for layer in range(20) for side in "xy"]
    links = [f"r{n}{one} requires r{n + 1}{other}\n" for n in range(19) for one in "xy" for other in "xy"]
    text = dump(read(HEAD + "group g ( SystemList = { a } )\n" + "".join(layers + links)))
    assert len(text.splitlines()) < 500  # written out in full it would be a million lines
    assert text.count("//") > 80


def test_atleast() -> None:
    found = read(
        HEAD
        + "group g ( SystemList = { a } )\nFileOnOff p ( )\nFileOnOff c1 ( )\nFileOnOff c2 ( )\nFileOnOff atleast ( )\n"
        "p requires atleast 1 from c1, c2\nc1 requires atleast\n"
    )
    assert found.groups["g"].at_least == (AtLeast("p", 1, ("c1", "c2")),)
    assert found.groups["g"].links == (("c1", "atleast"),)
    assert "\tp requires atleast 1 from c1, c2\n" in dump(found)


def test_remote_clusters_and_heartbeats() -> None:
    found = read(
        'include "types.cf"\ncluster c ( ClusterAddress = "10.1.1.1" )\n'
        'remotecluster C1 ( ClusterAddress = "10.2.2.2" )\n'
        'Heartbeat Icmp (\n ClusterList = { C1 }\n AYAInterval @C1 = 20\n Arguments@C1 = { "10.2.2.2" }\n )\n'
        "system a ( )\ngroup g ( SystemList = { a } )\nheartbeat Tls ( )"
    )
    assert found.remote_clusters["C1"].get("ClusterAddress") == "10.2.2.2"
    assert found.heartbeats["Icmp"].get("AYAInterval", "C1") == 20
    assert found.heartbeats["Icmp"].get("Arguments", "C1") == ("10.2.2.2",)
    assert list(found.heartbeats) == ["Icmp", "Tls"]
    assert read(dump(found)) == found


def test_types_of_main_cf_and_groups_of_an_included_file_are_dumped_into_main_cf() -> None:
    found = read(
        'include "types.cf"\ninclude "mixed.cf"\ncluster c ( )\nsystem a ( )\ntype Mine ( str X[] )\n',
        mixed='include "more.cf"\ntype Theirs ( int N = 3 )\ngroup g ( SystemList = { a } )\nOther o ( )\n',
        more="type Other ( )\n",
    )
    text = dump(found)
    again = read(text, more="type Other ( )\n")
    assert again == found
    assert again.includes == ("types.cf", "more.cf")
    assert dump(again) == text


def test_forms_seen_in_real_files() -> None:
    found = read(
        'include "types.cf"\ncluster c ( UseFence = SCSI3 )\nsystem x (\n\t)\nsystem y\n'
        "group g (\n SystemList = { x =0, y=1}\n AutoStartList = {x,y,}\n)\n"
        'Process p (\n PathName = " /opt/x"\n Arguments @y = "- z" )\n'
        'NIC n ( NetworkHosts = { "10.0.0.1" } Critical = 0 )\nrequires group cvm online local firm\n'
        "group cvm ( SystemList = { x, y } )"
    )
    assert found.groups["g"].priorities == {"x": 0, "y": 1}
    assert found.groups["g"].resources["p"].get("Arguments", "y") == "- z"
    assert read(dump(found)) == found


GROUP = HEAD + "group g ( SystemList = { a } )\nFileOnOff p ( )\nFileOnOff q ( )\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        (GROUP + "p requires atleast 3 from q", 8, 1, "at least 3 of 1"),
        (GROUP + "p requires atleast 0 from q", 8, 1, "at least 0 of 1"),
        (GROUP + "p requires atleast 1 q", 8, 22, "expected 'from'"),
        (GROUP + "p requires atleast 1 from z", 8, 1, "'z' is not a resource"),
        (GROUP + "p requires atleast 1 from q\nq requires p", 9, 1, "closes a circle"),
        (HEAD + "heartbeat Icmp ( ClusterList = { C9 } )", 5, 18, "not a remote cluster"),
        (HEAD + "heartbeat Icmp ( AYAInterval@C9 = 1 )", 5, 18, "not a remote cluster"),
        (HEAD + "remotecluster C1 ( Nothing = 1 )", 5, 20, "no attribute 'Nothing'"),
        (HEAD + "remotecluster C1 ( )\nremotecluster C1 ( )", 6, 1, "stands twice"),
        (HEAD + "system d ( Capacity = { CPU = 1, CPU = 2 } )", 5, 12, "'CPU' stands twice"),
    ],
)
def test_refusals_name_the_place(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read(text)
    error = refused.value
    assert message in error.message
    assert (error.file, error.line, error.column) == ("main.cf", line, column)
    assert error.remedy


def test_the_example_keeps_its_comments() -> None:
    directory = Path(__file__).parents[3] / "examples" / "two-sites"
    first = (directory / "main.cf").read_text().splitlines()[0]
    text = dump(build({one.name: one.read_text() for one in directory.glob("*.cf")} | {"types.cf": TYPES}))
    assert text.startswith(first)
