"""The runner of a drill's steps: whatever a step raises ends as a report that names the step and what it saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from holdfast.continuity.model.report import Report
from holdfast.continuity.service.drill import runner
from holdfast.continuity.service.drill.stage import Stage
from holdfast.kernel.errors import HoldfastError
from holdfast.lab.narrate import SilentNarrator
from holdfast.lab.sites import LabSites
from holdfast.lab.supervisor import keep_logs

Raises = Callable[[Stage], Mapping[str, Any]]


def unlucky(error: BaseException) -> Raises:
    def run(stage: Stage) -> Mapping[str, Any]:
        stage.insist(True, "that all is well", "it is")
        raise error

    return run


def drilled(directory: Path, monkeypatch: pytest.MonkeyPatch, step: Raises) -> Report:
    """Run two steps, the second of which is ``step``, on sites that were never powered on."""
    steps = (runner.Step("boot", "fine", lambda _: {"systems": 4}), runner.Step("backup", "not fine", step))
    monkeypatch.setattr(runner, "STEPS", steps)
    sites = LabSites(directory, root=False)
    log = sites.log("DELHI")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("what the server said\n")
    report = Report(mode="user", seed=1)
    stage = Stage(sites, SilentNarrator(), report)
    try:
        runner.run_drill(stage)
    finally:
        stage.report = report
    return report


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (HoldfastError("no route to TOKYO", "look"), "no route to TOKYO"),
        (KeyError("rows"), "KeyError: 'rows'"),
        (FileNotFoundError(2, "No such file or directory", "/x"), "FileNotFoundError"),
        (AssertionError("what cannot be"), "AssertionError: what cannot be"),
    ],
)
def test_whatever_a_step_raises_is_reported(
    error: Exception, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = drilled(tmp_path, monkeypatch, unlucky(error))
    assert report.verdict == "fail"
    assert [(step.name, step.ok) for step in report.steps] == [("boot", True), ("backup", False)]
    assert report.failure is not None
    assert report.failure.step == "backup"
    assert seen in report.failure.seen
    assert [Path(log).parent.name for log in report.failure.logs] == ["DELHI"]


def test_of_a_failed_lab_only_logs_stay(tmp_path: Path) -> None:
    for name in ("DELHI/service.log", "DELHI/data/admin.password", "ca/key.pem", "array/volumes/1260.img"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "hosta").mkdir()
    (tmp_path / "hosta" / "run.log").symlink_to("/etc/passwd")
    assert keep_logs(tmp_path) == []
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["DELHI", "DELHI/service.log"]
    assert Path("/etc/passwd").exists()
