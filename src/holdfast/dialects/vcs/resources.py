"""``hares``: resources of service groups."""

from __future__ import annotations

from holdfast.cluster.model.facts import Request
from holdfast.cluster.plan.status import intent_state
from holdfast.cluster.service.report import living_fact, resource_report
from holdfast.dialects.vcs import layout
from holdfast.dialects.vcs.groups import show
from holdfast.dialects.vcs.session import Form, Session, UsageError, Words
from holdfast.kernel.errors import Refusal, Refused

_ACTION_WAIT_S = 60.0


def _names(session: Session, words: Words) -> list[str]:
    if words.first():
        session.group_of(words.first())
        return [words.first()]
    return [name for group in session.groups(words.option("group")) for name in group.resources]


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


def _display(session: Session, words: Words) -> list[str]:
    lines = [layout.RESOURCE_HEADING]
    for name in _names(session, words):
        group = session.group_of(name)
        resource, systems = group.resources[name], list(group.priorities)
        lines.append(layout.four(name, "Group", "global", group.name))
        lines.append(layout.four(name, "Type", "global", resource.type.name))
        for attribute in ("AutoStart", "Critical", "Enabled"):
            lines.append(layout.four(name, attribute, "global", show(resource.get(attribute))))
        for each, flags in resource_report(session.state, group, name).systems.items():
            fact = living_fact(session.state, group.name, each)
            known = fact.resources.get(name) if fact else None
            lines.append(layout.four(name, "IState", each, intent_state(known)))
            lines.append(layout.four(name, "State", each, "|".join(flags)))
        for attribute in [*resource.type.attributes]:
            if attribute in resource.values.local:
                lines += [layout.four(name, attribute, each, show(resource.get(attribute, each))) for each in systems]
            elif attribute != "ArgList":
                lines.append(layout.four(name, attribute, "global", show(resource.get(attribute))))
    return lines


def _list(session: Session, words: Words) -> list[str]:
    return [
        f"{name:<20} {system}"
        for name in _names(session, Words(words.form, (), words.options))
        for system in session.group_of(name).priorities
    ]


def _dependencies(session: Session, words: Words) -> list[str]:
    rows = [
        f"{group.name:<12} {parent:<10} {child}"
        for group in session.configuration.groups.values()
        for parent, child in group.links
        if not words.first() or words.first() in (parent, child)
    ]
    if not rows:
        number, text = layout.MESSAGES["no-resource-dependencies"]
        return [f"VCS WARNING V-16-1-{number} {text}"]
    return [layout.RESOURCE_DEPENDENCY_HEADING, *rows]


def _value(session: Session, words: Words) -> list[str]:
    if len(words.plain) < 2:
        raise UsageError("-value RESOURCE ATTRIBUTE [SYSTEM]")
    name, attribute, *system = words.plain
    resource = session.group_of(name).resources[name]
    try:
        return [show(resource.get(attribute, system[0] if system else ""))]
    except KeyError:
        raise UsageError(f"{name} has no attribute {attribute}") from None


def _request(operation: str) -> Form:
    def run(session: Session, words: Words) -> None:
        name = _named(session, words)
        system = session.system(words.option("sys"))
        if operation in ("resource.online", "resource.offline") and not system:
            raise UsageError(f"-{words.form} RESOURCE -sys SYSTEM")
        session.wire.submit(Request("", operation, resource=name, system=system), 0.0)

    return run


def _clear(session: Session, words: Words) -> None:
    name = _named(session, words)
    found = resource_report(session.state, session.group_of(name), name).systems
    asked = [words.option("sys")] if words.option("sys") else list(found)
    if not any("FAULTED" in found.get(system, ()) for system in asked):
        raise Refused(Refusal("not-faulted", ""))
    session.wire.submit(Request("", "resource.clear", resource=name, system=words.option("sys")), 0.0)


def _action(session: Session, words: Words) -> list[str]:
    if len(words.plain) < 2 or not words.option("sys"):
        raise UsageError("-action RESOURCE TOKEN [-actionargs ARG ..] -sys SYSTEM")
    name, token = words.plain[:2]
    session.group_of(name)
    options = {"name": token, "arguments": "\n".join(words.options.get("actionargs", ()))}
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
    "list": _list,
    "dep": _dependencies,
    "value": _value,
    "online": _request("resource.online"),
    "offline": _request("resource.offline"),
    "probe": _request("resource.probe"),
    "clear": _clear,
    "action": _action,
}
"""Forms of ``hares``."""
