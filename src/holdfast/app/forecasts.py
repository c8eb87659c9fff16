"""The composition root of ``holdfast plan`` and ``hagrp -forecast``: reads the state once, plays it, prints; writes
nothing.

What the words of a question mean on the committed configuration (a site, an array, a request) is found out here; what
would happen then is :mod:`holdfast.cluster.plan.forecast`'s to say.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from holdfast.app.cluster import read_state, request_of
from holdfast.app.system import read_system_file
from holdfast.cli.cluster import Answer, Wire, command, parsed
from holdfast.cli.frame import table
from holdfast.cluster.config.builder import build
from holdfast.cluster.config.files import read_files
from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.model.facts import Departure, GroupFact, Request, SystemView, Wanted
from holdfast.cluster.operations import of_noun
from holdfast.cluster.plan.forecast import Assumed, Ending, Forecast, Step, WhatIf, forecast
from holdfast.cluster.plan.imagined import booted
from holdfast.cluster.plan.view import View
from holdfast.cluster.service.client import configuration_of
from holdfast.cluster.service.picture import judged_systems, picture
from holdfast.cluster.service.records import State
from holdfast.kernel.errors import InputError, Refusal, Refused

_ASSUMPTIONS = {
    "fence-confirms": Assumed(),
    "fence-refuses": Assumed(fence_confirms=False),
    "data-current": Assumed(),
    "data-unknown": Assumed(data_current=False),
}
_DO = ("group online", "group offline", "group switch", "group takeover", "group freeze", "group unfreeze",
       "group clear", "group flush", "group maintenance", "resource online", "resource offline", "system freeze",
       "system unfreeze", "system stop")  # fmt: skip
_ARRAY = "LocalStorageImageID"
"""The attribute by which a resource names the array that serves it on a system."""
_SILENT_S = 3.5
_MARKS = {"online": "+", "offline": "-", "waits": "!", "refused": "!", "assumed": "?", "lost": "x", "fault": "x"}


def view_of(state: State, configuration: Configuration, fenced: Iterable[str], powered: Iterable[str] = ()) -> View:
    """Return the picture to begin with: the present one, under ``configuration``. What that adds is not running."""
    systems = judged_systems(state, configuration)
    view = picture(state, configuration, systems, time.time(), fenced=fenced, powered=powered)
    facts = dict(view.facts)
    for group in configuration.groups.values():
        for name in group.priorities:
            if view.alive(name):
                facts[group.name, name] = _completed(facts.get((group.name, name)), group.name, view.system(name), view)
    return replace(view, facts=facts, requests=())


def _completed(fact: GroupFact | None, group: str, system: SystemView, view: View) -> GroupFact:
    """What a system reports of a group, and of every resource that is new there that it is not running."""
    resources = view.configuration.groups[group].resources
    known = {} if fact is None else fact.resources
    found = {name: known.get(name, booted(one)) for name, one in resources.items()}
    base = fact or GroupFact(group, system.name, system.incarnation)
    return replace(base, resources=found)


def what_if(
    configuration: Configuration, state: State, values: Mapping[str, Any]
) -> tuple[WhatIf, tuple[Request, ...]]:
    """Return what is asked about. Raises ``Refused`` for what is not in the cluster, ``InputError``."""
    lost = [_system(configuration, name) for name in values.get("lose") or ()]
    for zone in values.get("lose_site") or ():
        lost += _of_zone(configuration, zone)
    faults = [_fault(configuration, state, text) for text in values.get("fault") or ()]
    for array in values.get("lose_array") or ():
        faults += _of_array(configuration, array)
    leaving: dict[str, Departure] = {}
    asked: list[Request] = []
    for place, text in enumerate(values.get("do") or ()):
        request = _request(place, text)
        if request.operation == "system.stop":
            leaving[_system(configuration, request.system)] = _departure(request)
        else:
            asked.append(request)
    if not (lost or faults or leaving or asked or values.get("config")):
        remedy = "for example: holdfast plan --lose SYSTEM"
        raise InputError("nothing is to happen", remedy=remedy)
    assumed = _assumed(values.get("assume") or ())
    return WhatIf(tuple(dict.fromkeys(lost)), tuple(faults), leaving, assumed, _SILENT_S), tuple(asked)


def _assumed(words: Iterable[str]) -> Assumed:
    found = Assumed()
    for word in words:
        if word not in _ASSUMPTIONS:
            raise InputError(f"{word!r} cannot be assumed", remedy=f"known are {', '.join(_ASSUMPTIONS)}")
        one = _ASSUMPTIONS[word]
        found = Assumed(found.fence_confirms and one.fence_confirms, found.data_current and one.data_current)
    return found


def _system(configuration: Configuration, name: str) -> str:
    if name not in configuration.systems:
        raise Refused(Refusal("no-system", f"there is no system {name!r}", "holdfast system list"))
    return name


def _of_zone(configuration: Configuration, zone: str) -> list[str]:
    found = [name for group in configuration.groups.values() for name, each in group.zones.items() if each == zone]
    if not found:
        raise Refused(Refusal("no-site", f"no group has a zone {zone!r} in its SystemZones", "holdfast cluster dump"))
    return found


def _of_array(configuration: Configuration, array: str) -> Iterator[tuple[str, str]]:
    found = [
        (name, system)
        for group in configuration.groups.values()
        for name, resource in group.resources.items()
        if _ARRAY in resource.type.attributes
        for system in group.priorities
        if str(resource.get(_ARRAY, system)) == array
    ]
    if not found:
        raise Refused(Refusal("no-array", f"no resource names {array!r} in {_ARRAY}", "holdfast cluster dump"))
    yield from found


def _fault(configuration: Configuration, state: State, text: str) -> tuple[str, str]:
    name, _, system = text.partition("@")
    group = configuration.group_of(name)
    if group is None:
        raise Refused(Refusal("no-resource", f"there is no resource {name!r}", "holdfast resource list"))
    owners = [one.owner for one in state.intents.values() if one.group == group.name and one.wanted is Wanted.ONLINE]
    where = system or next(iter(owners), "")
    if where not in group.priorities:
        text_no = f"group {group.name} runs nowhere" if not where else f"{where} is not in its SystemList"
        raise Refused(Refusal("no-owner", text_no, f"name a system: --fault {name}@SYSTEM"))
    return name, where


def _departure(request: Request) -> Departure:
    chosen = {"force": Departure.PARKED, "evacuate": Departure.HANDS_OVER}
    return next((how for name, how in chosen.items() if request.options.get(name)), Departure.WAITS)


def _request(place: int, text: str) -> Request:
    try:
        words = shlex.split(text.removeprefix("holdfast "))
    except ValueError as error:
        raise InputError(f"--do {text!r}: {error}", remedy="close the quotation marks") from error
    name = " ".join(words[:2])
    if name not in _DO:
        raise InputError(f"--do {text!r} cannot be planned", remedy=f"known are {', '.join(_DO)}")
    operation = next(one for one in of_noun(words[0]) if one.name == name)
    return replace(request_of(name.replace(" ", "."), parsed(operation, words[2:])), id=f"planned-{place}")


def fenced_groups(configuration: Configuration, values: Mapping[str, Any]) -> tuple[str, ...]:
    """The groups with a fence: as this system's file says, or all when something is assumed of it."""
    if any(word.startswith("fence-") for word in values.get("assume") or ()):
        return tuple(configuration.groups)
    file = os.environ.get("HOLDFAST_SYSTEM_CONFIG", "")
    named = read_system_file(Path(file)).plugins.get("fences", {}) if file else {}
    return (
        tuple(configuration.groups) if "*" in named else tuple(name for name in named if name in configuration.groups)
    )


def powered_systems() -> tuple[str, ...]:
    """The systems that a device can end, as this system's file says."""
    file = os.environ.get("HOLDFAST_SYSTEM_CONFIG", "")
    return tuple(read_system_file(Path(file)).devices) if file else ()


def foresee(state: State, values: Mapping[str, Any]) -> Forecast:
    """Return what would happen in ``state``, asked in the words of the command line."""
    now = configuration_of(state)
    path = values.get("config") or ""
    after = build(read_files(Path(path))) if path else now
    first, asked = what_if(after, state, values)
    view = view_of(state, after, fenced_groups(after, values), powered_systems())
    view = replace(view, requests=tuple(_complete(after, one) for one in asked), trusted=frozenset({""}))
    return forecast(view, first)


def _complete(configuration: Configuration, request: Request) -> Request:
    if not request.operation.startswith("resource."):
        return request
    group = configuration.group_of(request.resource)
    if group is None:
        raise Refused(Refusal("no-resource", f"there is no resource {request.resource!r}", "holdfast resource list"))
    return replace(request, group=group.name)


def _plan(store: str, values: Mapping[str, Any]) -> Answer:
    found = foresee(read_state(store), values)
    lines = [line for place, step in enumerate(found.steps, 1) for line in _lines(place, step)]
    rows = [_row(one) for one in found.endings]
    heading = ("group", "from", "to", "interrupted", "waits for")
    end = [] if found.settled else ["the cluster would not come to rest: this is how it begins"]
    return Answer(found, "\n".join([*(lines or ["nothing would happen"]), *end, "", table(heading, rows)]))


def _lines(place: int, step: Step) -> list[str]:
    told = [f"{place:>3} {_MARKS.get(step.kind, '*')} {step.text}"]
    if step.kind != "placed":
        told += [f"      not {name}: {why}" for name, why in step.rejected.items()]
    return told + ([f"      remedy: {step.remedy}"] if step.remedy else [])


def _row(one: Ending) -> tuple[str, ...]:
    broken = "yes" if one.interrupted else "no"
    return one.group, " ".join(one.before) or "-", " ".join(one.after) or "-", broken, one.note.text


def failover(state: State, group: str) -> Forecast:
    """Return what would happen if the system that runs ``group`` were lost. Raises ``Refused`` if it runs nowhere."""
    owners = [one.owner for one in state.intents.values() if one.group == group and one.wanted is Wanted.ONLINE]
    if not owners:
        raise Refused(Refusal("offline", f"group {group} is not online", "hagrp -online"))
    return foresee(state, {"lose": owners[:1]})


def plan_command() -> click.Command:
    """Return ``holdfast plan``."""
    from holdfast.app.cluster import names

    return command(of_noun("plan")[0], Wire({"plan": _plan}, names))
