"""``hares``: resources of service groups."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.cluster.model.facts import Request
from holdfast.cluster.service.report import resource_report
from holdfast.dialects.vcs import layout, queries
from holdfast.dialects.vcs.attributes import Row, overridden, resource_rows
from holdfast.dialects.vcs.changes import change
from holdfast.dialects.vcs.session import Form, Session, UsageError, Words
from holdfast.kernel.errors import Refusal, Refused

_ACTION_WAIT_S = 60.0


def _row(name: str, row: Row) -> str:
    return layout.four(name, row.attribute, row.system, row.value)


KIND = queries.Kind(
    "resource",
    lambda session: [name for group in session.groups("") for name in group.resources],
    resource_rows,
    layout.RESOURCE_HEADING,
    _row,
    lambda session, name: list(session.group_of(name).priorities),
)


def _names(session: Session, words: Words) -> list[str]:
    for name in words.plain:
        session.group_of(name)
    names = [name for group in session.groups(words.option("group")) for name in group.resources]
    kinds = words.every("type")
    return [
        name
        for name in (words.plain or names)
        if not kinds or session.group_of(name).resources[name].type.name in kinds
    ]


def _states(session: Session, words: Words) -> list[str]:
    lines, system = [layout.RESOURCE_HEADING], session.system(words.option("sys"))
    for name in _names(session, words):
        found = resource_report(session.state, session.group_of(name), name).systems
        if system and words.first():
            return ["|".join(found.get(system, ("UNKNOWN",)))]
        lines += [
            layout.four(name, "State", each, "|".join(flags))
            for each, flags in found.items()
            if not system or each == system
        ]
    return lines


_display_all = queries.display(KIND, _names)


def _display(session: Session, words: Words) -> list[str]:
    if not words.has("ovalues"):
        return list(_display_all(session, words) or ())
    return [
        layout.RESOURCE_HEADING,
        *(
            _row(name, one)
            for name in _names(session, words)
            for one in resource_rows(session, name)
            if one.attribute in overridden(session, name)
        ),
    ]


def _dependencies(session: Session, words: Words) -> list[str]:
    asked = words.plain
    for name in asked:
        session.group_of(name)
    rows = [
        f"{group.name:<12} {parent:<10} {child}"
        for group in session.configuration.groups.values()
        for parent, child in (group.links if not words.has("atleast") else ())
        if not asked or set(asked) & {parent, child}
    ]
    rows += [
        f"{group.name:<12} {link.parent:<10} {','.join(link.children)} min={link.minimum}"
        for group in session.configuration.groups.values()
        for link in group.at_least
        if not asked or set(asked) & {link.parent, *link.children}
    ]
    if not rows:
        number, text = layout.MESSAGES["no-resource-dependencies"]
        return [f"VCS WARNING V-16-1-{number} {text}"]
    return [layout.RESOURCE_DEPENDENCY_HEADING, *rows]


def _request(operation: str, options: Sequence[str] = ()) -> Form:
    def run(session: Session, words: Words) -> None:
        name = _named(session, words)
        system = session.system(words.option("sys"))
        if operation in ("resource.online", "resource.offline", "resource.offprop") and not system:
            raise UsageError(f"-{words.form} RESOURCE -sys SYSTEM")
        flags = {each: "1" for each in options if words.has(each)}
        session.wire.submit(Request("", operation, resource=name, system=system, options=flags), 0.0)

    return run


def _clear(session: Session, words: Words) -> None:
    name = _named(session, words)
    found = resource_report(session.state, session.group_of(name), name).systems
    asked = [session.system(words.option("sys"))] if words.option("sys") else list(found)
    if not any("FAULTED" in found.get(system, ()) for system in asked):
        raise Refused(Refusal("not-faulted", ""))
    session.wire.submit(Request("", "resource.clear", resource=name, system=words.option("sys")), 0.0)


def _refresh_info(session: Session, words: Words) -> list[str]:
    """``-refreshinfo RESOURCE [-sys SYSTEM]``: what the agent tells now stands in ResourceInfo afterwards."""
    name, system = _named(session, words), session.system(words.option("sys"))
    done = session.wire.submit(Request("", "resource.refreshinfo", resource=name, system=system), _ACTION_WAIT_S)
    return done.output.splitlines()


def _action(session: Session, words: Words) -> list[str]:
    if len(words.plain) < 2 or not words.option("sys"):
        raise UsageError("-action RESOURCE TOKEN [-actionargs ARG ..] -sys SYSTEM")
    name, token = words.plain[:2]
    session.group_of(name)
    options = {"name": token, "arguments": "\n".join(words.every("actionargs"))}
    request = Request("", "resource.action", resource=name, system=session.system(words.option("sys")), options=options)
    done = session.wire.submit(request, _ACTION_WAIT_S)
    return done.output.splitlines()


def _named(session: Session, words: Words) -> str:
    if not words.plain:
        raise UsageError(f"-{words.form} needs the name of a resource")
    session.group_of(words.plain[0])
    return words.plain[0]


FORMS: dict[str, Form] = {
    "state": _states,
    "display": _display,
    "list": queries.listing(KIND, 20),
    "dep": _dependencies,
    "value": queries.value(KIND),
    "wait": queries.wait(KIND),
    "online": _request("resource.online", ("force",)),
    "offline": _request("resource.offline", ("ignoreparent", "parentprop")),
    "offprop": _request("resource.offprop", ("ignoreparent",)),
    "probe": _request("resource.probe"),
    "refreshinfo": _refresh_info,
    "flushinfo": _request("resource.flushinfo"),
    "clear": _clear,
    "action": _action,
    **{
        form: change("hares", usage)
        for form, usage in (
            ("add", "-add RESOURCE TYPE GROUP"), ("delete", "-delete [-force] RESOURCE"),
            ("modify", "-modify RESOURCE ATTRIBUTE VALUE .. [-sys SYSTEM]"),
            ("link", "-link PARENT CHILD, or PARENT CHILD,CHILD -min N: the parent requires the child"),
            ("unlink", "-unlink PARENT CHILD"), ("local", "-local RESOURCE ATTRIBUTE"),
            ("global", "-global RESOURCE ATTRIBUTE"), ("override", "-override RESOURCE ATTRIBUTE"),
            ("undo_override", "-undo_override RESOURCE ATTRIBUTE"),
        )
    },
}  # fmt: skip
"""Forms of ``hares``."""
