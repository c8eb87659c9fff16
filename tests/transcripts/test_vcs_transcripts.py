"""Golden sessions of the VCS dialect: what was typed, what was printed, on one known state of the example cluster.

Set ``HOLDFAST_WRITE_GOLDEN=1`` to write what is printed now; then read the difference.
"""

from __future__ import annotations

import io
import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.app.cluster import read_state
from holdfast.app.configuration import load as commit
from holdfast.app.vcs import vcs_wire
from holdfast.cluster.config.files import load, read_files
from holdfast.cluster.model.facts import (
    GroupFact,
    Heartbeat,
    Intent,
    Request,
    RequestState,
    ResourceFact,
    ResourceState,
    Wanted,
)
from holdfast.cluster.service.records import ConfigRecord, State
from holdfast.dialects.vcs.commands import run
from holdfast.dialects.vcs.session import VcsWire
from holdfast.kernel.errors import Refusal, Refused

HERE = Path(__file__).parent / "vcs"
EXAMPLE = HERE / "cluster"
SEED = HERE / "seed"


def known_state() -> State:
    state = State(config=ConfigRecord(read_files(EXAMPLE)))
    group = load(EXAMPLE).groups["VCS_Cluster"]
    for number, name in enumerate(("hosta", "hostb", "hostc", "hostd")):
        state.heartbeats[name] = Heartbeat(name, f"{number}-x", "s", 7)
        state.judged[name] = "alive"
        kind = ResourceState.ONLINE if name == "hosta" else ResourceState.OFFLINE
        facts = {each: ResourceFact(kind, probed=True) for each in group.resources}
        if name == "hostb":
            facts["ledger"] = replace(facts["ledger"], faulted=True)
        state.facts["VCS_Cluster", name] = GroupFact("VCS_Cluster", name, f"{number}-x", 3, True, facts)
    state.judged["hostd"] = "dead"
    state.intents["VCS_Cluster"] = Intent("VCS_Cluster", "hosta", "0-x", Wanted.ONLINE, 3)
    return state


def submit(request: Request, _wait_s: float) -> Request:
    if request.operation == "group.switch" and request.system == "hosta":
        raise Refused(Refusal("same-system", "VCS_Cluster is on hosta already", "name another system"))
    if request.operation == "group.switch" and request.system == "hostd":
        raise Refused(Refusal("no-target", "hostd cannot run it: it is dead", "see group state"))
    return replace(request, state=RequestState.DONE, output="failback done" if request.options.get("name") else "")


def play(path: Path, wire: VcsWire, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [line[2:] for line in path.read_text().splitlines() if line.startswith("$ ")]
    printed = []
    for command in commands:
        name, *arguments = shlex.split(command)
        code = run(name, arguments, wire)
        captured = capsys.readouterr()
        printed.append(f"$ {command}\n{captured.out}{captured.err}[{code}]\n")
    text = "\n".join(printed)
    if os.environ.get("HOLDFAST_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("path", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_transcript(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    play(
        path,
        VcsWire(known_state, submit, load, writable=lambda _wish: True, follow=lambda look: look(known_state())),
        capsys,
    )


@pytest.mark.parametrize("path", sorted(SEED.glob("*.txt")), ids=lambda path: path.stem)
def test_transcript_that_changes_what_is_committed(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_STORE", f"embedded://{tmp_path}/cluster.db")
    monkeypatch.delenv("HOLDFAST_SYSTEM_CONFIG", raising=False)
    monkeypatch.setattr("holdfast.app.cluster.who_asks", lambda _identity: "root")
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\nother\n"))
    commit("", read_files(SEED))
    play(path, vcs_wire(), capsys)
    texts = read_state("").config
    assert texts is not None
    assert "// the shared file system" in texts.files["main.cf"], "comments stay where they stood"
