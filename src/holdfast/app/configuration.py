"""Changes of the configuration for front ends: difference, commit, history and the way back, all by one path.

A change is refused when it would pull the ground from something that is online: its group, resource or system goes,
or its system leaves the group's SystemList. The intents that this was judged by are part of the transaction, so a
group that starts meanwhile makes the change fail instead of slipping through.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from holdfast.app.cluster import with_store
from holdfast.cli import config as config_cli
from holdfast.cli.cluster import Answer, Wire
from holdfast.cli.frame import table
from holdfast.cluster.config.builder import build
from holdfast.cluster.config.difference import Difference, differences
from holdfast.cluster.config.edit import Draft, Edited, edit
from holdfast.cluster.config.files import including, read_files
from holdfast.cluster.config.history import ConfigurationStore, Loaded
from holdfast.cluster.model.configuration import Configuration, Group
from holdfast.cluster.model.facts import Event, Wanted
from holdfast.cluster.plan.privileges import change_denial, denial, roles
from holdfast.cluster.service.client import configuration_of
from holdfast.cluster.service.records import GROUPS, ROOT, WRITABLE, State, audit, encode, event_key
from holdfast.cluster.service.report import group_report, resource_report
from holdfast.kernel.errors import InputError, Refusal, Refused
from holdfast.runtime.textfile import read_text
from holdfast.store.port import Compare, Delete, Put, Store

_STANDING = frozenset(("ONLINE", "PARTIAL", "STARTING", "STOPPING"))
_ATTEMPTS = 5
_TOLD = 5
_COMPARE_LIMIT = 64
"""The intents compared in the transaction; a change that touches more groups is judged by those that are online."""


async def change(
    store: Store, by: str, files: Mapping[str, str], reason: str = "", force: bool = False, revision: int = 0
) -> tuple[int, Configuration, tuple[Difference, ...]]:
    """Check ``files`` and commit them; return the revision, the configuration, and what changed.

    Raises ``InputError`` for files that are not good and ``Refused`` when ``revision`` is not what is loaded, when
    something online would lose its ground (not with ``force``), or when somebody was faster.
    """
    after = build(files)
    configurations = ConfigurationStore(store, by)
    seen = await configurations.current()
    if revision and revision != seen.revision:
        reason_no = f"revision {seen.revision} is loaded, not {revision}"
        raise Refused(Refusal("conflict", reason_no, "look again: holdfast config diff FILE"))
    before = _built(seen, force)
    done, found = await _commit(store, configurations, by, seen, Edited(before, after, files), reason, force)
    return done, after, found


async def edited(
    store: Store, by: str, work: Callable[[Draft], None], reason: str = "", force: bool = False
) -> tuple[int, tuple[Difference, ...]]:
    """Make one change to what is committed, as a transaction of its own; return the revision and what changed.

    Raises ``Refused`` for a change that cannot be, and as :func:`change` does. Nothing is changed then.
    """
    configurations = ConfigurationStore(store, by)
    for _ in range(_ATTEMPTS):
        seen = await configurations.current()
        if not seen.revision:
            raise Refused(Refusal("no-configuration", "no configuration is loaded", "holdfast cluster load main.cf"))
        found = edit(seen.files, work)
        try:
            return await _commit(store, configurations, by, seen, found, reason, force)
        except Refused as refused:
            if refused.refusal.code != "conflict":
                raise
    raise Refused(Refusal("conflict", "the configuration keeps changing", "try again"))


async def set_writable(store: Store, by: str, wish: bool) -> bool:
    """Open the configuration for the VCS commands, or close it; return whether that changed anything.

    The mark harms nothing when it is left behind: each change is committed whole whether it is there or not.
    """
    entry = (await store.read(WRITABLE)).entries.get(WRITABLE)
    if (entry is not None) == wish:
        return False
    configuration = configuration_of(State.of(await store.read(ROOT)))
    denied = denial(configuration, by, "config.open")
    if denied is not None and not roles(configuration, by).administers:
        raise Refused(denied)
    record = {"by": by, "at": time.time()}
    mark = Put(WRITABLE, encode(record)) if wish else Delete(WRITABLE)
    event = Event(time.time(), "audit", f"configuration {'opened' if wish else 'closed'}", by=by)
    await store.transact([], [mark, audit(event, uuid4().hex)])
    return True


async def _commit(
    store: Store, configurations: ConfigurationStore, by: str, seen: Loaded, change: Edited, reason: str, force: bool
) -> tuple[int, tuple[Difference, ...]]:
    before, after, files = change.before, change.after, change.files
    found = differences(before, after)
    if dict(seen.files) == dict(files):
        return seen.revision, found
    denied = change_denial(before, after, by)
    if denied is not None:
        raise Refused(denied)
    state = State.of(await store.read(ROOT))
    losses = [] if force else list(_losses(state, before, after))
    if losses:
        more = f" (and {len(losses) - 1} more)" if len(losses) > 1 else ""
        raise Refused(Refusal("in-use", losses[0] + more, "take it offline first, or: holdfast config apply --force"))
    touched = [name for name in before.groups if before.groups[name] != after.groups.get(name)][:_COMPARE_LIMIT]
    compares = [] if force else [Compare(GROUPS + name, state.revisions.get(GROUPS + name, 0)) for name in touched]
    text = f"configuration changed: {summary(found)}"
    event = Event(time.time(), "config", text, by=by, reason=reason, revision=seen.revision)
    told = [Put(event_key(time.time_ns(), 0), encode(event)), audit(replace(event, text=_told(found)), uuid4().hex)]
    return await configurations.commit(files, seen, reason, compares, told), found


def _told(found: tuple[Difference, ...]) -> str:
    lines = [one.line() for one in found[:_TOLD]]
    more = [f"and {len(found) - _TOLD} more"] if len(found) > _TOLD else []
    return "configuration: " + "; ".join([*lines, *more])


def _built(loaded: Loaded, anyhow: bool = False) -> Configuration:
    """What is loaded. A text that can no longer be read must not bar its own replacement: ``anyhow`` it is empty."""
    try:
        return build(loaded.files) if loaded.files else Configuration()
    except InputError:
        if not anyhow:
            raise
        return Configuration()


def _losses(state: State, before: Configuration, after: Configuration) -> Iterator[str]:
    """Everything online that would lose its ground, as reasons to refuse."""
    for name, group in before.groups.items():
        new = after.groups.get(name)
        if new == group and all(system in after.systems for system in group.priorities):
            continue
        where = _standing(state, group)
        if where and new is None:
            yield f"group {name} is online on {' and '.join(where)} and would be removed"
        elif new is not None:
            for system in where:
                if system not in new.priorities or system not in after.systems:
                    yield f"group {name} is online on {system}, which it could no longer run on"
            yield from _lost_resources(state, group, new)


def _lost_resources(state: State, group: Group, new: Group) -> Iterator[str]:
    for name, resource in group.resources.items():
        kept = new.resources.get(name)
        if kept is not None and kept.type.name == resource.type.name:
            continue
        where = [one for one, flags in resource_report(state, group, name).systems.items() if _STANDING & set(flags)]
        if where:
            what = "be removed" if kept is None else f"become a {kept.type.name}"
            yield f"resource {name} is online on {' and '.join(where)} and would {what}"


def _standing(state: State, group: Group) -> list[str]:
    where = [name for name, flags in group_report(state, group).systems.items() if _STANDING & set(flags)]
    for intent in state.intents.values():
        wanted = intent.group == group.name and intent.wanted is Wanted.ONLINE
        if wanted and intent.owner and intent.owner not in where:
            where.append(intent.owner)
    return where


def summary(found: tuple[Difference, ...]) -> str:
    """Return how much a change changes, in a few words."""
    counts = [(kind, sum(one.kind == kind for one in found)) for kind in ("added", "removed", "changed")]
    return ", ".join(f"{number} {kind}" for kind, number in counts if number) or "no difference but in text"


def _document(revision: int, found: tuple[Difference, ...], **more: Any) -> dict[str, Any]:
    return {"revision": revision, **more, "differences": list(found)}


def _diff(store: str, values: Mapping[str, Any]) -> Answer:
    after = build(read_files(Path(values["path"])))
    seen = with_store(store, lambda opened, by: ConfigurationStore(opened, by).current())
    found = differences(_built(seen), after)
    lines = [f"against revision {seen.revision}: {summary(found)}" if seen.revision else "nothing is loaded yet"]
    return Answer(_document(seen.revision, found), "\n".join([*lines, *(one.line() for one in found)]))


def _apply(store: str, values: Mapping[str, Any]) -> Answer:
    files = read_files(Path(values["path"]))
    force, reason, named = bool(values.get("force")), str(values.get("reason") or ""), str(values["revision"] or "0")
    if not named.isdecimal():
        raise InputError(f"{named!r} is no revision", remedy="give the number that holdfast config diff told")
    revision = int(named)
    done, _, found = with_store(store, lambda opened, by: change(opened, by, files, reason, force, revision), True)
    return Answer(_document(done, found), f"revision {done}: {summary(found)}")


def _rollback(store: str, values: Mapping[str, Any]) -> Answer:
    wanted, force = int(values["revision"]), bool(values.get("force"))
    reason = str(values.get("reason") or "") or f"back to revision {wanted}"

    async def work(opened: Store, by: str) -> tuple[int, tuple[Difference, ...]]:
        old = await ConfigurationStore(opened, by).at(wanted)
        done, _, found = await change(opened, by, old.files, reason, force)
        return done, found

    done, found = with_store(store, work)
    return Answer(_document(done, found, back_to=wanted), f"revision {done}, as {wanted} was: {summary(found)}")


def _history(store: str, _values: Mapping[str, Any]) -> Answer:
    async def work(opened: Store, by: str) -> list[Loaded]:
        configurations = ConfigurationStore(opened, by)
        current = await configurations.current()
        return [*await configurations.past(), *([current] if current.revision else [])]

    found = with_store(store, work)
    rows = [(one.revision, _when(one.at), one.by or "-", one.reason) for one in found]
    value = [{"revision": one.revision, "at": one.at, "by": one.by, "reason": one.reason} for one in found]
    return Answer(value, table(("revision", "loaded", "by", "reason"), rows))


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if at else "-"


def import_types(store: str, path: Path, reason: str) -> Answer:
    """Commit the configuration with the type file ``path`` included; one of that name is replaced."""
    text = read_text(path)

    async def work(opened: Store, by: str) -> tuple[int, tuple[Difference, ...]]:
        seen = await ConfigurationStore(opened, by).current()
        main = including(seen.files.get("main.cf", ""), path.name)
        files = {**seen.files, path.name: text, "main.cf": main}
        done, _, found = await change(opened, by, files, reason or f"types of {path.name}")
        return done, found

    done, found = with_store(store, work)
    return Answer(_document(done, found), f"revision {done}: {summary(found)}")


def load(store: str, files: Mapping[str, str]) -> Configuration:
    """Commit ``files`` as ``holdfast cluster load`` does; a store that is not there is made."""
    return with_store(store, lambda opened, by: change(opened, by, files), True)[1]


def config_commands() -> click.Group:
    """Return the commands of ``holdfast config``."""
    handlers: dict[str, Callable[[str, Mapping[str, Any]], Answer]] = {
        "config diff": _diff, "config apply": _apply, "config history": _history, "config rollback": _rollback,
    }  # fmt: skip
    return config_cli.commands(Wire(handlers))
