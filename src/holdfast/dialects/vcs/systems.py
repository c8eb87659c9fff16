"""``hasys``, ``hatype``, ``haclus`` and ``hahb``: systems, types, the cluster, heartbeats between clusters."""

from __future__ import annotations

from holdfast.cluster.model.attributes import SYSTEM_ATTRIBUTES, TYPE_ATTRIBUTES, amounts
from holdfast.cluster.model.attributes import Kind as Number
from holdfast.cluster.model.facts import Request, Wanted
from holdfast.cluster.model.timing import HEARTBEAT_INTERVAL_S, LEASE_TTL_S, MARGIN_S
from holdfast.cluster.model.widearea import RemoteCluster
from holdfast.cluster.service.report import system_report
from holdfast.dialects.vcs import layout, queries
from holdfast.dialects.vcs.attributes import Row, cluster_rows, show, system_rows, type_rows
from holdfast.dialects.vcs.changes import apply, change
from holdfast.dialects.vcs.session import Form, Session, UsageError, Words
from holdfast.kernel.errors import Refusal, Refused

TIMING = {"HeartbeatInterval": HEARTBEAT_INTERVAL_S, "LeaseTime": LEASE_TTL_S, "Margin": MARGIN_S}
"""Defaults of the engine's own times; a system's file may set others. Seconds."""
_GONE = ("EXITED", "UNKNOWN", "FAULTED")


def _row(name: str, row: Row) -> str:
    return layout.three(name, row.attribute, row.value)


SYSTEM = queries.Kind(
    "system", lambda session: list(session.configuration.systems), system_rows, layout.SYSTEM_HEADING, _row,
    state="SysState",
)  # fmt: skip
TYPE = queries.Kind(
    "type", lambda session: list(session.configuration.types), type_rows, layout.TYPE_HEADING, _row,
)  # fmt: skip
CLUSTER = queries.Kind(
    "cluster", lambda _session: [""], cluster_rows, layout.CLUSTER_HEADING,
    lambda _name, row: layout.two(row.attribute, row.value), state="ClusState",
)  # fmt: skip


def _states(session: Session, words: Words) -> list[str]:
    if session.remote:
        return _remote_states(session, words)
    names = [session.system(words.first())] if words.first() else list(session.configuration.systems)
    if words.first():
        return [system_report(session.state, names[0]).state]
    rows = [layout.three(name, "SysState", system_report(session.state, name).state) for name in names]
    return [layout.SYSTEM_HEADING, *rows]


def _remote_states(session: Session, words: Words) -> list[str]:
    """``-state`` of the systems of the cluster that ``-clus`` names."""
    found = session.remote_systems()
    if words.first():
        return [found[session.system(words.first())]]
    return [layout.SYSTEM_HEADING, *(layout.three(name, "SysState", state) for name, state in found.items())]


def _ids(session: Session, words: Words) -> list[str]:
    numbered = {str(number): name for number, name in enumerate(session.configuration.systems)}
    if words.first():
        found = [name for number, name in numbered.items() if words.first() in (number, name)]
        if not found:
            raise Refused(Refusal("no-system", ""))
        return found
    return [layout.NODE_HEADING, *(layout.two(number, name) for number, name in numbered.items())]


def _use(session: Session, words: Words) -> list[str]:
    name = session.named_system(_named(words))
    lines = [layout.UTIL_HEADING]
    found = session.configuration.systems[name].get("Capacity")
    capacities = amounts(SYSTEM_ATTRIBUTES["Capacity"].default if found is None else found)
    groups = session.configuration.groups
    loads = [
        amounts(groups[intent.group].get("Load"))
        for intent in session.state.intents.values()
        if intent.group in groups and intent.owner == name and intent.wanted is Wanted.ONLINE
    ]
    told = session.state.loads.get(name)
    said = {} if told is None else told.amounts
    for key, capacity in capacities.items():
        used = said[key] if key in said else sum(load.get(key, 0) for load in loads)
        lines.append(f"{name:<12} {key or 'Capacity':<21} {capacity:<10} {used:<10} {capacity - used}")
    return lines


def _frozen(value: str) -> Form:
    def run(session: Session, words: Words) -> None:
        name = session.named_system(_named(words))
        operation = "system.freeze" if value == "1" else "system.unfreeze"
        flags = {"evacuate": "1"} if words.has("evacuate") else {}
        if not words.has("persistent"):
            session.wire.submit(Request("", operation, system=name, options=flags), 0.0)
            return
        apply(session, [["hasys", "-modify", name, "Frozen", value]])
        if flags:
            session.wire.submit(Request("", operation, system=name, options=flags), 0.0)

    return run


def _load(session: Session, words: Words) -> None:
    """``-load SYSTEM [VALUE | NAME VALUE ..]``; without a value the load of its groups counts again."""
    name = session.named_system(_named(words))
    session.wire.submit(Request("", "system.load", system=name, options={"amounts": " ".join(words.plain[1:])}), 0.0)


def _delete(session: Session, words: Words) -> None:
    name = session.named_system(_named(words))
    state = system_report(session.state, name).state
    if state not in _GONE:
        raise Refused(Refusal("in-use", f"system {name!r} is {state}", f"stop it first: hastop -sys {name}"))
    apply(session, [["hasys", "-delete", name]])


def _force(session: Session, words: Words) -> None:
    name = session.named_system(_named(words))
    state = system_report(session.state, name).state
    reason = f"{name} is {state}: a system never waits here for a person to choose its configuration"
    raise Refused(Refusal("not-waiting", reason, "the committed configuration holds: holdfast config history"))


def _license(_session: Session, _words: Words) -> list[str]:
    return ["VCS NOTICE there is no license to update: none is needed"]


def _tunables(session: Session, words: Words) -> list[str]:
    """``-dumptunables``: the numbers that the engine goes by here, those of the types included."""
    if words.first():
        session.named_system(words.first())
    rows = [layout.two(name, str(seconds)) for name, seconds in TIMING.items()]
    rows += [layout.two(one.name, show(one.default)) for one in TYPE_ATTRIBUTES.values() if one.kind is Number.INT]
    return [layout.CLUSTER_HEADING, *rows]


def _named(words: Words) -> str:
    if not words.plain:
        raise UsageError(f"-{words.form} needs a name")
    return words.plain[0]


def _of_type(session: Session, words: Words) -> list[str]:
    kind = _named(words)
    type_rows(session, kind)
    return [
        name for group in session.groups("") for name, resource in group.resources.items() if resource.type.name == kind
    ]


def _cluster_list(session: Session, _words: Words) -> list[str]:
    return [session.configuration.name, *session.configuration.remote_clusters]


def _remote_cluster(session: Session, name: str) -> RemoteCluster:
    if name not in session.configuration.remote_clusters:
        raise Refused(Refusal("no-cluster", f"there is no cluster {name!r}", "haclus -list"))
    return session.state.remotes.get(name, RemoteCluster(name))


def _declare(session: Session, words: Words) -> list[str]:
    """``-declare disaster|outage|disconnect|replica -clus CLUSTER [-failover]``."""
    if not words.first() or not words.option("clus"):
        raise UsageError("-declare disaster|outage|disconnect|replica -clus CLUSTER [-failover]")
    options = {"cluster": words.option("clus"), "kind": words.first(), "failover": "1" if words.has("failover") else ""}
    done = session.wire.submit(Request("", "cluster.declare", options=options), 0.0)
    return done.output.splitlines()


def _cluster_state(session: Session, words: Words) -> list[str]:
    name = words.option("clus") or words.first()
    if name not in ("", session.configuration.name):
        return [_remote_cluster(session, name).state.value]
    return [next(one.value for one in cluster_rows(session) if one.attribute == "ClusState")]


def _cluster_value(session: Session, words: Words) -> list[str]:
    rows = cluster_rows(session)
    for one in rows:
        if one.attribute == words.first():
            return [one.value]
    raise UsageError(f"known attributes are {' '.join(one.attribute for one in rows)}")


SYSTEM_FORMS: dict[str, Form] = {
    "state": _states,
    "display": queries.display(SYSTEM),
    "list": queries.listing(SYSTEM, 12),
    "value": queries.value(SYSTEM),
    "wait": queries.wait(SYSTEM),
    "nodeid": _ids,
    "util": _use,
    "freeze": _frozen("1"),
    "unfreeze": _frozen("0"),
    "load": _load,
    "force": _force,
    "updatelic": _license,
    "dumptunables": _tunables,
    "delete": _delete,
    **{
        form: change("hasys", usage)
        for form, usage in (
            ("add", "-add SYSTEM"), ("modify", "-modify SYSTEM ATTRIBUTE VALUE .."),
            ("local", "-local SYSTEM ATTRIBUTE"), ("global", "-global SYSTEM ATTRIBUTE"),
        )
    },
}  # fmt: skip
"""Forms of ``hasys``."""

TYPE_FORMS: dict[str, Form] = {
    "display": queries.display(TYPE),
    "list": queries.listing(TYPE, 12),
    "value": queries.value(TYPE),
    "resources": _of_type,
    **{
        form: change("hatype", usage)
        for form, usage in (
            ("add", "-add TYPE"), ("delete", "-delete TYPE"), ("modify", "-modify TYPE ATTRIBUTE VALUE .."),
        )
    },
}  # fmt: skip
"""Forms of ``hatype``."""

ATTRIBUTE_FORMS: dict[str, Form] = {
    "add": change(
        "haattr", "-add [-static|-temp] TYPE ATTRIBUTE [-string|-integer|-boolean] [-vector|-keylist|-assoc]"
    ),
    "delete": change("haattr", "-delete TYPE ATTRIBUTE"),
    "default": change("haattr", "-default TYPE ATTRIBUTE VALUE"),
}
"""Forms of ``haattr``."""

CLUSTER_FORMS: dict[str, Form] = {
    "display": queries.display(CLUSTER, lambda _session, _words: [""]),
    "value": _cluster_value,
    "state": _cluster_state,
    "list": _cluster_list,
    "declare": _declare,
    "wait": queries.wait(CLUSTER),
    "modify": change("haclus", "-modify ATTRIBUTE VALUE .."),
    "add": change("haclus", "-add CLUSTER [ADDRESS]"),
    "delete": change("haclus", "-delete CLUSTER"),
}
"""Forms of ``haclus``."""

HEARTBEAT_FORMS: dict[str, Form] = {
    form: change("hahb", usage)
    for form, usage in (
        ("add", "-add HEARTBEAT"), ("delete", "-delete HEARTBEAT"), ("modify", "-modify HEARTBEAT ATTRIBUTE VALUE .."),
        ("local", "-local HEARTBEAT ATTRIBUTE"), ("global", "-global HEARTBEAT ATTRIBUTE"),
    )
}  # fmt: skip
"""Forms of ``hahb``."""
