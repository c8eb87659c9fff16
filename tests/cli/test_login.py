"""``halogin``: a person acts as a user of the cluster as long as the password fits; ``hatrigger`` runs a trigger."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from holdfast.app.main import main


@pytest.fixture(autouse=True)
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STORE", f"embedded://{tmp_path}/cluster.db")
    monkeypatch.delenv("HOLDFAST_SYSTEM_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("holdfast.app.cluster.who_asks", lambda _identity: "root")
    (tmp_path / "main.cf").write_text("cluster shop ( )\nsystem hosta ( )\n")
    assert main(["holdfast", "cluster", "load", str(tmp_path)]) == 0


def typed(monkeypatch: pytest.MonkeyPatch, command: str, password: str = "") -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
    return main(command.split())


def test_a_login_acts_as_the_user_while_the_password_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "haconf -makerw") == 0
    assert typed(monkeypatch, "hauser -add gina", "secret") == 0
    assert typed(monkeypatch, "halogin shop gina", "wrong") == 1
    assert typed(monkeypatch, "halogin elsewhere gina", "secret") == 1
    assert typed(monkeypatch, "halogin shop gina", "secret") == 0
    assert (tmp_path / ".holdfast" / "login").stat().st_mode & 0o777 == 0o600
    assert typed(monkeypatch, "hasys -modify hosta ShutdownTimeout 7") == 1
    assert "gina may not do" in capsys.readouterr().err
    assert typed(monkeypatch, "halogin -endallsessions") == 0
    assert typed(monkeypatch, "hauser -addpriv gina Administrator") == 0
    assert typed(monkeypatch, "halogin shop gina", "secret") == 0
    monkeypatch.setenv("HOLDFAST_REASON", "a test")
    assert typed(monkeypatch, "hasys -modify hosta ShutdownTimeout 7") == 0
    capsys.readouterr()
    assert main(["holdfast", "cluster", "audit", "--json", "--limit", "1"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["by"], told["reason"]) == ("gina", "a test")
    assert typed(monkeypatch, "hauser -update gina", "other") == 0
    assert typed(monkeypatch, "hasys -modify hosta ShutdownTimeout 8") == 1
    assert "not right" in capsys.readouterr().err


def test_a_trigger_is_run_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    triggers = tmp_path / "triggers"
    triggers.mkdir()
    (tmp_path / "hosta.toml").write_text(f'name = "hosta"\ntriggers = "{triggers}"\n')
    monkeypatch.setenv("HOLDFAST_SYSTEM_CONFIG", str(tmp_path / "hosta.toml"))
    assert typed(monkeypatch, "hatrigger -nofailover hosta web") == 1
    assert "no program for nofailover" in capfd.readouterr().err
    program = triggers / "nofailover"
    program.write_text('#!/bin/sh\necho "told: $@"\n[ "$2" = web ]\n')
    program.chmod(0o755)
    assert typed(monkeypatch, "hatrigger -nofailover hosta web") == 0
    assert "told: hosta web" in capfd.readouterr().out
    assert typed(monkeypatch, "hatrigger -nofailover hosta db") == 1
    assert typed(monkeypatch, "hatrigger -nofailover hosta") == 1
    assert "<system> <group>" in capfd.readouterr().err
