"""``hagrp``: service groups."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.cluster.model.facts import Request
from holdfast.cluster.plan.widearea import members
from holdfast.cluster.service.alerts import alerts
from holdfast.cluster.service.report import group_report
from holdfast.dialects.vcs import layout, queries
from holdfast.dialects.vcs.attributes import Row, group_rows
from holdfast.dialects.vcs.changes import apply, change
from holdfast.dialects.vcs.session import Form, Session, UsageError, Words
from holdfast.kernel.errors import Refusal, Refused


def _row(name: str, row: Row) -> str:
    return layout.four(name, row.attribute, row.system, row.value)


KIND = queries.Kind(
    "group",
    lambda session: list(session.configuration.groups),
    group_rows,
    layout.GROUP_HEADING,
    _row,
    lambda session, name: list(session.group(name).priorities),
)


def _states(session: Session, words: Words) -> list[str]:
    lines = [layout.GROUP_HEADING]
    if session.remote:
        return _remote_states(session, words)
    system = session.system(words.option("sys") or "".join(words.plain[1:2]))
    for group in session.groups(words.first()):
        found = group_report(session.state, group).systems
        if system and words.first():
            return ["|" + "|".join(found.get(system, ("UNKNOWN",))) + "|"]
        for name, flags in found.items():
            if not system or name == system:
                lines.append(layout.four(group.name, "State", name, f"|{'|'.join(flags)}|"))
    return lines


def _remote_states(session: Session, words: Words) -> list[str]:
    """``-state`` of the groups shared with the cluster that ``-clus`` names, as it tells of them."""
    system = session.system(words.option("sys") or "".join(words.plain[1:2]))
    remote = session.state.remotes.get(session.remote)
    groups = remote.summary.groups if remote is not None and remote.summary is not None else {}
    if words.first() and words.first() not in groups:
        raise Refused(Refusal("no-group", ""))
    if words.first() and system:
        return [f"|{groups[words.first()].systems.get(system, 'UNKNOWN')}|"]
    rows = [
        layout.four(name, "State", f"{session.remote}:{place}", f"|{flags}|")
        for name, group in groups.items()
        for place, flags in group.systems.items()
        if words.first() in ("", name) and system in ("", place)
    ]
    return [layout.GROUP_HEADING, *rows]


def _resources(session: Session, words: Words) -> list[str]:
    return list(session.group(_named(words)).resources)


def _forecast(session: Session, words: Words) -> list[str]:
    group = session.group(_named(words))
    found = session.wire.forecast(session.state, group.name)
    ending = next(one for one in found.endings if one.group == group.name)
    lines = [layout.FORECAST_HEADING, layout.forecast(group.name, ending.before, ending.after)]
    if words.has("verbose"):
        for step in found.steps:
            if step.group == group.name and step.kind not in ("online", "offline"):
                lines.append(f"  {step.text}")
                lines += (
                    [] if step.kind == "placed" else [f"  not {name}: {why}" for name, why in step.rejected.items()]
                )
    return lines


def _dependencies(session: Session, words: Words) -> list[str]:
    if words.first():
        session.group(words.first())
    rows = [
        f"{group.name:<12} {link.child:<10} {link.category} {link.location} {link.rigidity}"
        for group in session.groups("")
        for link in group.group_links
        if not words.first() or words.first() in (group.name, link.child)
    ]
    if not rows:
        number, text = layout.MESSAGES["no-group-dependencies"]
        return [f"VCS WARNING V-16-1-{number} {text}"]
    return [layout.GROUP_DEPENDENCY_HEADING, *rows]


def _named(words: Words) -> str:
    if not words.plain:
        raise UsageError(f"-{words.form} needs the name of a group")
    return words.plain[0]


def request(operation: str, where: str = "sys", options: Sequence[str] = (), must: bool = False) -> Form:
    """Return the form that puts a request for a group; ``options`` are flags that go with it, with ``must`` a system,
    or ``-any``, has to be named."""

    def run(session: Session, words: Words) -> None:
        group = session.group(_named(words))
        away = words.option("clus")
        system = words.option(where) if away else session.system(words.option(where))
        site = words.option("site")
        if must and not system and not words.has("any") and not site:
            raise UsageError(f"-{words.form} GROUP -{where} SYSTEM, or -any, or -site SITE")
        flags = {name: "1" for name in options if words.has(name)} | ({"cluster": away} if away else {})
        flags |= {"site": site} if site else {}
        session.wire.submit(Request("", operation, group.name, system=system, options=flags), 0.0)

    return run


def _ignore(session: Session, words: Words) -> None:
    """``-ignore``: a person leaves a group where it is although the other cluster that held it is lost; the alert about
    it is put aside."""
    group, cluster = session.group(_named(words)), words.option("clus")
    if not cluster:
        raise UsageError("-ignore GROUP -clus CLUSTER")
    if cluster not in members(session.configuration, group):
        raise Refused(
            Refusal("no-cluster", f"{group.name} is not shared with cluster {cluster}", "see its ClusterList")
        )
    open_alerts = alerts(session.state, session.configuration)
    found = [one for one in open_alerts if (one.kind, one.about) == ("CFAULT", group.name) and not one.acknowledged]
    if not found:
        reason = f"nothing waits for a person about {group.name} and cluster {cluster}"
        raise Refused(Refusal("no-alert", reason, "see what does: haalert -list"))
    session.wire.acknowledge(found[0].id, f"{group.name} stays where it is although cluster {cluster} is lost")


def _frozen(value: str) -> Form:
    at_once = request("group.freeze" if value == "1" else "group.unfreeze")

    def run(session: Session, words: Words) -> None:
        name = session.group(_named(words)).name
        if words.has("persistent"):
            apply(session, [["hagrp", "-modify", name, "Frozen", value]])
        else:
            at_once(session, words)

    return run


def _enabled(value: str) -> Form:
    def run(session: Session, words: Words) -> None:
        group = session.group(_named(words))
        system = session.system(words.option("sys"))
        if system:
            spread = [] if "Enabled" in group.values.local else [["hagrp", "-local", group.name, "Enabled"]]
            apply(session, [*spread, ["hagrp", "-modify", group.name, "Enabled", value, "-sys", system]])
        else:
            together = [["hagrp", "-global", group.name, "Enabled"]]
            apply(session, [*together, ["hagrp", "-modify", group.name, "Enabled", value]])

    return run


FORMS: dict[str, Form] = {
    "state": _states,
    "display": queries.display(KIND),
    "list": queries.listing(KIND, 15),
    "value": queries.value(KIND),
    "resources": _resources,
    "dep": _dependencies,
    "wait": queries.wait(KIND),
    "forecast": _forecast,
    "switch": request("group.switch", "to", ("any",), must=True),
    "online": request("group.online", "sys", ("any", "force", "nopre", "propagate")),
    "offline": request("group.offline", "sys", ("any", "force", "ifprobed", "propagate")),
    "freeze": _frozen("1"),
    "unfreeze": _frozen("0"),
    "clear": request("group.clear"),
    "clearadminwait": request("group.clearadminwait", "sys", ("fault",)),
    "ignore": _ignore,
    "flush": request("group.flush", "sys", ("force",)),
    "autoenable": request("group.autoenable"),
    "enable": _enabled("1"),
    "disable": _enabled("0"),
    **{
        form: change("hagrp", usage)
        for form, usage in (
            ("add", "-add GROUP"), ("delete", "-delete GROUP"), ("modify", "-modify GROUP ATTRIBUTE VALUE .."),
            ("link", "-link PARENT CHILD online|offline local|global|remote soft|firm|hard"),
            ("unlink", "-unlink PARENT CHILD"), ("local", "-local GROUP ATTRIBUTE"),
            ("global", "-global GROUP ATTRIBUTE"), ("enableresources", "-enableresources GROUP"),
            ("disableresources", "-disableresources GROUP"),
        )
    },
}  # fmt: skip
"""Forms of ``hagrp``."""
