"""The composition root of ``holdfast explain``: why something was decided, and whether it would be decided again.

Reads the records that coordinators keep (``cluster/service/decisions.py``) from the store, or one that was exported to
a file, finds the configuration that the record names, and decides once more with the same planner.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from holdfast import __version__
from holdfast.app.cluster import with_store
from holdfast.cli.cluster import Answer, Wire, command
from holdfast.cli.frame import table
from holdfast.cluster.config.builder import build
from holdfast.cluster.config.history import ConfigurationStore
from holdfast.cluster.model.facts import Life
from holdfast.cluster.operations import of_noun
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.view import Change
from holdfast.cluster.service.decisions import DECISIONS, Kept, decided, same_again, unpack
from holdfast.kernel.errors import HoldfastError, InputError, Refusal, Refused
from holdfast.store.port import Store

_SAME = "the same planner decides the same on this picture, bit for bit"
_OTHER = "DECIDED OTHERWISE: the same planner decides something else on this picture"


class _Case(msgspec.Struct):
    """A record with the texts of its configuration, as it is exported."""

    stamp: str
    record: bytes
    files: dict[str, str]


def _explain(store: str, values: Mapping[str, Any]) -> Answer:
    source = str(values.get("input") or "")
    if values.get("list"):
        return _listed(with_store(store, lambda opened, _by: _records(opened), named=False))
    wish, group = str(values.get("event") or "latest"), str(values.get("group") or "")
    case = _read(Path(source)) if source else with_store(store, lambda o, _by: _found(o, wish, group), named=False)
    kept = unpack(case.record)
    verdict = _verdict(kept, case.files)
    if values.get("export"):
        Path(str(values["export"])).write_bytes(msgspec.json.encode(case))
    if values.get("replay") and verdict == _OTHER:
        raise HoldfastError(verdict, "keep the record for support: holdfast explain --export FILE")
    found = decided(kept)
    value = {
        "event": case.stamp, "at": kept.at, "system": kept.system, "epoch": kept.sight.epoch, "version": kept.version,
        "configuration": kept.configuration, "systems": kept.sight.systems, "changes": found.changes,
        "notes": [note for note in found.notes if note.code], "answers": kept.sight.answers,
        "same_again": {_SAME: True, _OTHER: False}.get(verdict),
    }  # fmt: skip
    return Answer(value, "\n".join([*_story(case.stamp, kept), "", verdict]))


async def _records(store: Store) -> dict[str, bytes]:
    entries = (await store.read(DECISIONS)).entries
    return {key.removeprefix(DECISIONS): entries[key].value for key in sorted(entries)}


def _listed(records: Mapping[str, bytes]) -> Answer:
    rows = [
        (stamp, _when(kept.at), kept.system, change.intent.group, change.text)
        for stamp, kept in ((stamp, unpack(data)) for stamp, data in records.items())
        for change in decided(kept).changes
    ]
    value = [dict(zip(("event", "at", "system", "group", "text"), row, strict=True)) for row in rows]
    return Answer(value, table(("event", "when", "by", "group", "what"), rows))


async def _found(store: Store, wish: str, group: str) -> _Case:
    records = await _records(store)
    for stamp in sorted(records, reverse=True):
        kept = unpack(records[stamp])
        about = not group or any(change.intent.group == group for change in decided(kept).changes)
        if about and (wish == "latest" or stamp.lstrip("0") == wish.lstrip("0")):
            loaded = await ConfigurationStore(store, "").at(kept.configuration)
            return _Case(stamp, records[stamp], dict(loaded.files))
    what = f"decision {wish}" if wish != "latest" else "decision"
    where = f" about group {group}" if group else ""
    raise Refused(Refusal("no-decision", f"no {what}{where} is kept", "holdfast explain --list"))


def _read(path: Path) -> _Case:
    try:
        case = msgspec.json.decode(path.read_bytes(), type=_Case)
        unpack(case.record)
    except (ValueError, msgspec.DecodeError) as error:
        remedy = "name a file that holdfast explain --export wrote"
        raise InputError(f"not an exported decision: {error}", file=str(path), remedy=remedy) from error
    return case


def _verdict(kept: Kept, files: Mapping[str, str]) -> str:
    if kept.version != __version__:
        return f"decided by version {kept.version}; this is {__version__}, which may decide otherwise: not compared"
    return _SAME if same_again(kept, build(files), decide) else _OTHER


def _story(stamp: str, kept: Kept) -> list[str]:
    lines = [
        f"event {stamp}: {_when(kept.at)}, decided by {kept.system} in epoch {kept.sight.epoch} on configuration "
        f"{kept.configuration}",
        "",
        "seen:",
    ]
    for name, view in kept.sight.systems.items():
        silent = f", silent for {view.silent_s:.1f} s" if view.life is not Life.ALIVE else ""
        lines.append(f"  {name} is {view.life.value}{silent}{', frozen' if view.frozen else ''}")
    for told in kept.sight.answers:
        answer = told.answer
        said = "yes" if answer is None else getattr(answer, "text", "") or getattr(answer, "reason", "")
        lines.append(f"  asked about {told.ask.system} for {told.ask.group} ({told.ask.kind.value}): {said}")
    for change in decided(kept).changes:
        lines += ["", *_change(kept, change)]
    return lines


def _change(kept: Kept, change: Change) -> list[str]:
    group = change.intent.group
    lines = [f"decided: {change.text}"]
    for fact in kept.sight.facts:
        if fact.group == group:
            states = ", ".join(
                f"{name} {one.state.value}{' faulted' if one.faulted else ''}" for name, one in fact.resources.items()
            )
            lines.append(f"  {fact.system} had said: {states or 'nothing'}")
    return lines + [f"  not {name}: {why}" for name, why in change.rejected.items()]


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def explain_command() -> click.Command:
    """Return ``holdfast explain``."""
    return command(of_noun("explain")[0], Wire({"explain": _explain}))
