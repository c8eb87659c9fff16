"""What agents that people already have say, read as tables: exit codes, recorded output, metadata."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.cluster.agents import foreignlog, ocf_metadata
from holdfast.cluster.agents.alone import Alone
from holdfast.cluster.agents.lsb import read_status
from holdfast.cluster.agents.ocf import read_code, reason_of
from holdfast.cluster.agents.ocf_metadata import AgentName, parse, parse_name, seconds, type_block
from holdfast.cluster.agents.script import arguments, read_monitor
from holdfast.cluster.agents.systemd import Unit, read_unit
from holdfast.cluster.agents.systemd import parse as parse_unit
from holdfast.cluster.config.builder import build
from holdfast.cluster.model.facts import ResourceState
from holdfast.cluster.ports import AgentContext, CommandResult
from holdfast.kernel.errors import HoldfastError, InputError

ONLINE, OFFLINE, UNKNOWN = ResourceState.ONLINE, ResourceState.OFFLINE, ResourceState.UNKNOWN

METADATA = """<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="Widget" version="1.1"><version>1.1</version>
<shortdesc lang="en">Serves   widgets</shortdesc>
<parameters>
<parameter name="config" required="1" unique-group="c"><shortdesc>Where "all" is said // here</shortdesc>
<content type="string"/></parameter>
<parameter name="port" required="true"><content type="integer" default="80"/></parameter>
<parameter name="with-dash"><content type="boolean" default="false"/></parameter>
</parameters>
<actions>
<action name="start" timeout="10min"/><action name="stop" timeout="20s"/>
<action name="monitor" depth="0" timeout="90s" interval="15s"/>
<action name="monitor" depth="10" timeout="120s" interval="60s"/>
<action name="monitor" role="Promoted" timeout="20" interval="7"/>
</actions></resource-agent>
"""


@pytest.mark.parametrize(
    ("code", "probe", "state", "confidence", "broken"),
    [
        *((code, probe, ONLINE, 100, False) for code in (0, 8) for probe in (True, False)),
        *((code, probe, ONLINE, 50, False) for code in (190, 191) for probe in (True, False)),
        *((7, probe, OFFLINE, 0, False) for probe in (True, False)),
        *((code, True, UNKNOWN, 0, False) for code in (1, 2, 3, 4, 5, 6, 9, 77, -9)),
        *((code, False, ONLINE, 0, True) for code in (1, 2, 3, 4, 5, 6, 9)),
        *((code, False, UNKNOWN, 0, False) for code in (77, 127, -9)),
    ],
)
def test_ocf_codes(code: int, probe: bool, state: ResourceState, confidence: int, broken: bool) -> None:
    found = read_code(code, probe)
    assert (found.state, found.confidence, found.broken) == (state, confidence, broken)


def test_ocf_reason_is_the_agents_own_or_the_code_and_the_last_line() -> None:
    both = CommandResult(6, "", "noise\nocf-exit-reason:no config\nERROR: more noise\nocf-exit-reason:no config\n")
    assert reason_of(both, "start") == "start ended with 6 (not configured): no config"
    plain = CommandResult(1, "", "first\nlast words\n")
    assert reason_of(plain, "stop") == "stop ended with 1 (failed): last words"
    assert reason_of(CommandResult(-9, timed_out=True), "stop") == "stop ended with -9 (ran out of time)"
    assert len(reason_of(CommandResult(1, "", "ocf-exit-reason:" + "x" * 9000), "start")) == 300


def test_metadata_becomes_a_type_that_main_cf_can_read() -> None:
    name = AgentName("acme", "Widget")
    found = parse(METADATA)
    assert found.required == ("config",), "a required parameter with a default need not be given"
    text = type_block(name, found)
    kind = build({"main.cf": text}).types["OCF_acme_Widget"]
    assert kind.arg_list == ("config", "port")
    values = {attribute: definition.default for attribute, definition in kind.attributes.items()}
    assert values["AgentFile"] == "ocf:acme:Widget"
    assert (values["MonitorInterval"], values["MonitorTimeout"], values["OnlineTimeout"]) == (15, 90, 600)
    assert "OfflineTimeout" not in values, "a hint below the engine's default lowers nothing"
    assert values["RequiredParams"] == ("config",)
    assert values["port"] == "", "the agent's default stays the agent's"
    assert 'config\t// required; Where "all" is said // here' in text
    assert "Params{}\t// for parameters with other names" in text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "cannot be read"),
        ("<resource-agent><parameters></resource-agent>", "mismatched tag"),
        ("<html/>", "prints <html>, not <resource-agent>"),
        ("\x00\x01", "cannot be read"),
    ],
)
def test_metadata_that_is_none(text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as raised:
        parse(text, "ocf:acme:Widget")
    assert raised.value.remedy


@pytest.mark.parametrize("text", ["Dummy", "ocf:Dummy", "ocf::Dummy", "ocf:a/b:c", "ocf:..:x", "lsb:a:b", "ocf:a:.x"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="does not name an OCF agent"):
        parse_name(text)


def test_times_of_metadata() -> None:
    texts = ("20", "20s", "2min", "500ms", "1h", "1.5 s", "", "soon")
    assert [seconds(text) for text in texts] == [20, 20, 120, 0.5, 3600, 1.5, 0, 0]


@pytest.mark.skipif(not Path(ocf_metadata.OCF_ROOT).is_dir(), reason="needs resource-agents")
def test_every_installed_agent_becomes_a_type() -> None:
    """All of Debian's resource-agents print metadata that makes a type, and a resource of it can be declared."""
    names = ocf_metadata.installed()
    assert len(names) > 100
    for name in names:
        if name.provider != "heartbeat":
            continue
        text = type_block(name, ocf_metadata.read(name))
        kind = ocf_metadata.type_name(name)
        main = f"{text}\nsystem a\ngroup g ( SystemList = {{ a }} )\n{kind} r ( )\n"
        assert build({"main.cf": main}).groups["g"].resources["r"].get("AgentFile") == str(name)


@pytest.mark.parametrize(
    ("code", "state", "detail"),
    [
        (0, ONLINE, ""),
        (1, OFFLINE, "dead, with its PID file left"),
        (2, OFFLINE, "dead, with its lock file left"),
        (3, OFFLINE, ""),
        (4, UNKNOWN, "the script does not know: hm"),
        (127, UNKNOWN, "status ended with 127, no code of LSB: hm"),
    ],
)
def test_lsb_status(code: int, state: ResourceState, detail: str) -> None:
    found = read_status(CommandResult(code, "hm\n"))
    assert (found.state, found.detail) == (state, detail)


@pytest.mark.parametrize(
    ("code", "state", "confidence"),
    [
        (100, OFFLINE, 0), (101, ONLINE, 10), (105, ONLINE, 50), (110, ONLINE, 100), (99, UNKNOWN, 0),
        (111, UNKNOWN, 0), (0, UNKNOWN, 0), (1, UNKNOWN, 0), (200, OFFLINE, 0), (-9, UNKNOWN, 0),
    ],
)  # fmt: skip
def test_script_monitor(code: int, state: ResourceState, confidence: int) -> None:
    found = read_monitor(CommandResult(code))
    assert (found.state, found.confidence) == (state, confidence)


def test_script_arguments_in_both_conventions() -> None:
    names = ("Path", "Ports", "Options", "Absent", "Count")
    values = {"Path": "/a b", "Ports": ("1", "2"), "Options": {"k": "v"}, "Count": 3}
    assert arguments(names, values, False) == ["/a b", "2", "1", "2", "2", "k", "v", "", "3"]
    assert arguments(names, values, True) == [
        "Path", "1", "/a b", "Ports", "2", "1", "2", "Options", "2", "k", "v", "Absent", "1", "", "Count", "1", "3",
    ]  # fmt: skip


RUNNING = """Result=success
MainPID=812
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=disabled
"""


def test_systemd_units_as_recorded() -> None:
    unit = parse_unit(RUNNING)
    assert unit == Unit("loaded", "active", "running", 812, "success", "disabled")
    assert read_unit(unit) == (ONLINE, "")
    failed = (
        "LoadState=loaded\nActiveState=failed\nSubState=failed\nMainPID=0\nResult=exit-code\nUnitFileState=static\n"
    )
    assert read_unit(parse_unit(failed)) == (OFFLINE, "the unit failed: exit-code")
    missing = "LoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\n"
    assert read_unit(parse_unit(missing)) == (UNKNOWN, "the unit is not-found")
    assert read_unit(Unit("loaded", "inactive", "dead")) == (OFFLINE, "")
    again = Unit("loaded", "activating", "auto-restart", result="exit-code")
    assert again.restarting
    assert read_unit(again) == (ONLINE, "the unit failed (exit-code), and systemd starts it again")
    assert not Unit("loaded", "activating", "start").restarting
    assert read_unit(Unit("loaded", "activating", "start"))[0] is UNKNOWN
    assert "systemctl disable" in read_unit(Unit("loaded", "active", "running", 1, "", "enabled"))[1]
    with pytest.raises(HoldfastError, match="no state"):
        parse_unit("Failed to connect to bus: No such file or directory\n")


def test_the_log_of_an_agent_is_closed_to_others(tmp_path: Path) -> None:
    context = AgentContext("r", "web", "alpha", "1-a", {}, Alone(), tmp_path)
    foreignlog.note(context, "start", CommandResult(1, "", "password=secret"))
    assert "password=secret" in foreignlog.path_of(context).read_text()
    assert foreignlog.path_of(context).stat().st_mode & 0o777 == 0o600
