"""From what the store holds to the picture that the planner decides on: the one way, for the coordinator and for those
who ask what would happen.

The coordinator judges who lives by its own clock (:mod:`~holdfast.cluster.service.membership`); whoever only looks
takes the coordinator's word, which stands in the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.model.facts import Departure, Life, RequestState, SystemView
from holdfast.cluster.plan.view import Answer, Ask, View
from holdfast.cluster.service.records import State

_OPEN = (RequestState.PENDING, RequestState.ACCEPTED)
_LIVES = {"alive": Life.ALIVE, "dead": Life.DEAD, "left": Life.DEAD}


def picture(
    state: State,
    configuration: Configuration,
    systems: Mapping[str, SystemView],
    now: float,
    answers: Mapping[Ask, Answer] | None = None,
    fenced: Iterable[str] = (),
    trusted: Iterable[str] = (),
    powered: Iterable[str] = (),
) -> View:
    """Return the planner's view of ``state``. ``now`` is wall-clock seconds."""
    facts = {
        key: fact
        for key, fact in state.facts.items()
        if key[1] in systems and fact.incarnation == systems[key[1]].incarnation
    }
    loaded = {name: replace(systems[name], load=said.amounts) for name, said in state.loads.items() if name in systems}
    return View(
        configuration=configuration,
        systems={**systems, **loaded} if loaded else systems,
        intents=state.intents,
        facts=facts,
        last_facts=state.facts,
        requests=tuple(request for _, request in sorted(state.requests.items()) if request.state in _OPEN),
        answers=answers or {},
        fenced=frozenset(fenced),
        confirmed={
            name: (word.incarnation, f"{word.by or 'a person'} confirmed that {name} is dead: {word.reason}")
            for name, word in state.confirmed.items()
        },
        now=now,
        epoch=0 if state.coordinator is None else state.coordinator.epoch,
        trusted=frozenset(trusted),
        authorities=state.authorities,
        remotes=state.remotes,
        powered=frozenset(powered),
    )


def frozen_systems(state: State, configuration: Configuration) -> dict[str, bool]:
    """Return which systems a person or the configuration froze."""
    return {
        name: name in state.frozen or str(values.get("Frozen", name) or "0") != "0"
        for name, values in configuration.systems.items()
    }


def judged_systems(state: State, configuration: Configuration) -> dict[str, SystemView]:
    """Return the systems as the coordinator last judged them."""
    frozen, found = frozen_systems(state, configuration), dict[str, SystemView]()
    for name in configuration.systems:
        beat, word = state.heartbeats.get(name), state.judged.get(name, "")
        left = word == "left" and beat is not None
        found[name] = SystemView(
            name,
            _LIVES.get(word, Life.UNCERTAIN),
            "" if beat is None else beat.incarnation,
            frozen=frozen[name],
            left=left,
            available={} if beat is None else beat.available,
            how=Departure(beat.mode) if left and beat is not None else None,
        )
    return found
