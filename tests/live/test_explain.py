"""Decisions of a running cluster are kept, explained and made again; a record that was touched is noticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from clusterlab import Cluster, lab

from holdfast.app.main import main
from holdfast.cluster.service.decisions import pack, unpack


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    for made in lab(tmp_path, "marker"):
        made.start("alpha", "beta")
        made.until(made.online_on("alpha"))
        made.request("group.switch", system="beta")
        made.until(made.online_on("beta"))
        monkeypatch.setenv("HOLDFAST_STORE", made.url)
        yield made


def explain(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["holdfast", "explain", *words])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_why_a_group_is_where_it_is(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster.until(lambda _state: len(listed(capsys)) >= 3)
    rows = listed(capsys)
    assert [row["group"] for row in rows] == ["web"] * len(rows)
    assert "started automatically" in str(rows[0]["text"])
    for row in rows:
        code, text = explain(capsys, str(row["event"]), "--replay")
        assert (code, "bit for bit" in text) == (0, True), text
    code, text = explain(capsys, "--group", "web", "--json")
    assert json.loads(text)["same_again"] is True
    assert "beta" in text

    case = tmp_path / "case.json"
    assert explain(capsys, str(rows[0]["event"]), "--export", str(case))[0] == 0
    monkeypatch.setenv("HOLDFAST_STORE", "embedded:///nowhere")
    code, text = explain(capsys, "--input", str(case), "--replay")
    assert (code, "started automatically" in text) == (0, True), text

    touched = json.loads(case.read_text())
    kept = unpack(msgspec.json.decode(json.dumps(touched["record"]), type=bytes))
    other = bytes(kept.decision).replace(b'"alpha"', b'"beta"')
    record = pack(replace(kept, decision=msgspec.Raw(other)))
    touched["record"] = json.loads(msgspec.json.encode(record))
    case.write_text(json.dumps(touched))
    code, text = explain(capsys, "--input", str(case), "--replay")
    assert (code, "DECIDED OTHERWISE" in text) == (1, True), text


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    code, text = explain(capsys, "--list", "--json")
    assert code == 0, text
    found: list[dict[str, object]] = json.loads(text)
    return found


def test_what_is_not_kept_or_not_a_record_is_said(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, text = explain(capsys, "12345")
    assert (code, "holdfast explain --list" in text) == (3, True), text
    (tmp_path / "no.json").write_text("{}")
    code, text = explain(capsys, "--input", str(tmp_path / "no.json"))
    assert (code, "no.json" in text, "--export" in text) == (1, True, True), text
