"""The page for those who come from Pacemaker, typed as it is printed, on two running systems.

Its main.cf is checked word for word. To run it, each OCF agent gives way to Debian's Dummy with a state file for each
system: the page's addresses and volumes are nobody's here, and its commands do not depend on them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster

from holdfast.app.main import main
from holdfast.cluster.service.client import configuration_of
from holdfast.cluster.service.records import State
from holdfast.cluster.service.report import group_report

PAGE = (Path(__file__).resolve().parents[2] / "docs/howto/from-pacemaker.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
MAIN_CF = next(block for block in BLOCKS if block.startswith("include"))
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("holdfast ")]
AGENT = re.compile(r"OCF (\w+) \(\n\s*Agent = \w+\n(?:\s*Params = \{[^}]*\}\n)?")
DUMMY = r"""OCF \1 (
        Agent = Dummy
        Params @alpha = { state = "@DIR@/alpha.\1" }
        Params @beta = { state = "@DIR@/beta.\1" }
"""

pytestmark = pytest.mark.skipif(
    not Path("/usr/lib/ocf/resource.d/heartbeat/Dummy").exists(), reason="needs resource-agents"
)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    made = Cluster(tmp_path, "marker")
    made.load(AGENT.sub(DUMMY, MAIN_CF))
    monkeypatch.setenv("HOLDFAST_STORE", made.url)
    monkeypatch.chdir(tmp_path)
    try:
        made.start("alpha", "beta")
        yield made
    finally:
        made.stop()


def is_online(state: State, group: str, system: str) -> bool:
    return group_report(state, configuration_of(state).groups[group]).systems[system] == ("ONLINE",)


def test_the_pages_configuration_is_good_as_printed(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(MAIN_CF)
    assert main(["holdfast", "cluster", "verify", str(tmp_path / "main.cf")]) == 0


def test_the_page_as_it_is_printed(cluster: Cluster) -> None:
    cluster.until(lambda state: is_online(state, "web", "alpha") and is_online(state, "report", "beta"), 30)
    assert COMMANDS, "the page shows no commands"
    for line in COMMANDS:
        assert main(shlex.split(line)) == 0, line
        if line.startswith("holdfast group switch web --to beta"):
            assert is_online(cluster.state(), "web", "beta"), line
            assert not (cluster.directory / "alpha.www").exists()
        if line.startswith("holdfast system freeze beta --evacuate"):
            cluster.until(lambda state: is_online(state, "web", "alpha") and is_online(state, "report", "alpha"), 30)
