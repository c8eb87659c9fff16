"""The native verbs that change one thing of the configuration: each makes the same change as its VCS command.

A verb is a function from its parameters to a change of a draft; what they share is the transaction behind them
(:func:`holdfast.app.configuration.edited`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from holdfast.app.cluster import with_store
from holdfast.app.configuration import edited, summary
from holdfast.cli.cluster import Answer
from holdfast.cluster.config.amend import Change
from holdfast.cluster.config.edit import Draft
from holdfast.kernel.errors import InputError

Values = Mapping[str, Any]
Verb = Callable[[Draft, Values], None]
_HOW = ("add", "delete", "update", "clear")


def _change(values: Values) -> Change:
    how = [name for name in _HOW if values.get(name)]
    words = tuple(values.get("values") or ())
    if len(how) > 1:
        raise InputError(f"--{how[0]} and --{how[1]} exclude one another", remedy="change one after the other")
    if not words and how != ["clear"]:
        raise InputError("no value is given", remedy='write it after the attribute; "" is an empty text')
    return Change(how[0] if how else "set", words)


def _modify(word: str) -> Verb:
    def run(draft: Draft, values: Values) -> None:
        draft.modify(word, values[word], values["attribute"], _change(values), str(values.get("system") or ""))

    return run


def _group_add(draft: Draft, values: Values) -> None:
    draft.add("group", values["group"])
    systems = [part for number, name in enumerate(values["on"] or ()) for part in (name, str(number))]
    if systems:
        draft.modify("group", values["group"], "SystemList", Change("set", tuple(systems)))


def _resource_add(draft: Draft, values: Values) -> None:
    name = values["resource"]
    draft.add_resource(name, values["type"], values["group"], enabled=not values.get("disabled"))
    for text in values["set"] or ():
        attribute, sign, value = str(text).partition("=")
        if not sign:
            raise InputError(f"{text!r} sets nothing", remedy="write ATTRIBUTE=VALUE")
        draft.modify("resource", name, attribute, Change("set", (value,)))


def _resource_link(draft: Draft, values: Values) -> None:
    least = values.get("at_least")
    draft.link(values["resource"], list(values["children"]), str(least) if least else "")


def _group_link(draft: Draft, values: Values) -> None:
    draft.link_groups(values["group"], values["child"], str(values["kind"]).split())


def _system_add(draft: Draft, values: Values) -> None:
    draft.add("system", values["system"])


def _removes(word: str) -> Verb:
    return lambda draft, values: draft.delete(word, values[word], bool(values.get("force")))


VERBS: Mapping[str, Verb] = {
    "group add": _group_add,
    "group remove": _removes("group"),
    "group modify": _modify("group"),
    "group link": _group_link,
    "group unlink": lambda draft, values: draft.unlink_groups(values["group"], values["child"]),
    "resource add": _resource_add,
    "resource remove": _removes("resource"),
    "resource modify": _modify("resource"),
    "resource link": _resource_link,
    "resource unlink": lambda draft, values: draft.unlink(values["resource"], list(values["children"])),
    "system add": _system_add,
    "system remove": _removes("system"),
    "system modify": lambda draft, values: draft.modify(
        "system", values["system"], values["attribute"], _change(values)
    ),
    "type modify": lambda draft, values: draft.default(values["type"], values["attribute"], _change(values)),
    "cluster modify": lambda draft, values: draft.modify_cluster(values["attribute"], _change(values)),
}
"""Name of an operation → what it does to a draft."""


def handlers() -> Mapping[str, Callable[[str, Values], Answer]]:
    """Return the handlers of every verb that changes the configuration."""
    return {name: _handler(verb) for name, verb in VERBS.items()}


def _handler(verb: Verb) -> Callable[[str, Values], Answer]:
    def run(store: str, values: Values) -> Answer:
        reason, force = str(values.get("reason") or ""), bool(values.get("force"))

        def work(draft: Draft) -> None:
            verb(draft, values)

        done, found = with_store(store, lambda opened, by: edited(opened, by, work, reason, force))
        lines: Sequence[str] = [f"revision {done}: {summary(found)}", *(one.line() for one in found)]
        return Answer({"revision": done, "differences": list(found)}, "\n".join(lines))

    return run
