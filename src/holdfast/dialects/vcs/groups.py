"""``hagrp``: service groups."""

from __future__ import annotations

import time

from holdfast.cluster.model.attributes import GROUP_ATTRIBUTES, Value
from holdfast.cluster.model.facts import Request
from holdfast.cluster.service.report import group_report
from holdfast.dialects.vcs import layout
from holdfast.dialects.vcs.session import Form, Session, UsageError, Words

_POLL_S = 0.2
_WAIT_LIMIT_S = 86400.0


def show(value: Value) -> str:
    """Return a value as VCS prints it: words side by side, associations as key and value."""
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, tuple):
        return " ".join(value)
    return " ".join(f"{key} {text}" for key, text in value.items())


def _states(session: Session, words: Words) -> list[str]:
    lines = [layout.GROUP_HEADING]
    system = session.system(words.option("sys"))
    for group in session.groups(words.first()):
        found = group_report(session.state, group).systems
        if system and words.first():
            return ["|" + "|".join(found.get(system, ("UNKNOWN",))) + "|"]
        for name, flags in found.items():
            if not system or name == system:
                lines.append(layout.four(group.name, "State", name, f"|{'|'.join(flags)}|"))
    return lines


def _display(session: Session, words: Words) -> list[str]:
    lines = [layout.GROUP_HEADING]
    for group in session.groups(words.first()):
        report = group_report(session.state, group)
        for attribute in GROUP_ATTRIBUTES:
            value = group.get(attribute)
            if attribute == "SystemList":
                value = {name: str(number) for name, number in group.priorities.items()}
            lines.append(layout.four(group.name, attribute, "global", show(value)))
        lines.append(layout.four(group.name, "TFrozen", "global", "1" if report.frozen else "0"))
        for name, flags in report.systems.items():
            lines.append(layout.four(group.name, "Probed", name, "1" if report.probed[name] else "0"))
            lines.append(layout.four(group.name, "State", name, f"|{'|'.join(flags)}|"))
    return lines


def _list(session: Session, _words: Words) -> list[str]:
    return [f"{group.name:<15} {name}" for group in session.groups("") for name in group.priorities]


def _resources(session: Session, words: Words) -> list[str]:
    return list(session.group(_named(words)).resources)


def _dependencies(session: Session, words: Words) -> list[str]:
    rows = [
        f"{group.name:<12} {link.child:<10} {link.category} {link.location} {link.rigidity}"
        for group in session.groups(words.first())
        for link in group.group_links
    ]
    if not rows:
        number, text = layout.MESSAGES["no-group-dependencies"]
        return [f"VCS WARNING V-16-1-{number} {text}"]
    return [layout.GROUP_DEPENDENCY_HEADING, *rows]


def _wait(session: Session, words: Words) -> None:
    if len(words.plain) < 3:
        raise UsageError("-wait GROUP State VALUE [-sys SYSTEM] [-time SECONDS]")
    name, attribute, value = words.plain[:3]
    if attribute != "State":
        raise UsageError("only attribute State can be waited for")
    end = time.monotonic() + float(words.option("time") or _WAIT_LIMIT_S)
    while True:
        systems = group_report(session.wire.state(), session.group(name)).systems
        asked = [words.option("sys")] if words.option("sys") else list(systems)
        if any(value in systems.get(system, ()) for system in asked):
            return
        if time.monotonic() > end:
            raise UsageError(f"{name} did not become {value} in time")
        time.sleep(_POLL_S)


def _named(words: Words) -> str:
    if not words.plain:
        raise UsageError(f"-{words.form} needs the name of a group")
    return words.plain[0]


def _request(operation: str, where: str = "sys") -> Form:
    def run(session: Session, words: Words) -> None:
        group = session.group(_named(words))
        system = session.system(words.option(where))
        if where == "to" and not system and "any" not in words.options:
            raise UsageError("-switch GROUP -to SYSTEM, or -any")
        session.wire.submit(Request("", operation, group.name, system=system), 0.0)

    return run


FORMS: dict[str, Form] = {
    "state": _states,
    "display": _display,
    "list": _list,
    "resources": _resources,
    "dep": _dependencies,
    "wait": _wait,
    "switch": _request("group.switch", "to"),
    "online": _request("group.online"),
    "offline": _request("group.offline"),
    "freeze": _request("group.freeze"),
    "unfreeze": _request("group.unfreeze"),
    "clear": _request("group.clear"),
}
"""Forms of ``hagrp``."""
