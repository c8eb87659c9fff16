"""The cluster's composition root for front ends: binds each operation to the store, for ``holdfast`` and for VCS.

Handlers read one state or put one request; they hold no state of their own. ``open_store`` is called per command.
"""

from __future__ import annotations

import asyncio
import os
import time
import tomllib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from holdfast.app.store import identity_of, open_store
from holdfast.cli import cluster as cluster_cli
from holdfast.cli import group as group_cli
from holdfast.cli import resource as resource_cli
from holdfast.cli import system as system_cli
from holdfast.cli.cluster import Answer, Wire
from holdfast.cli.completion import ask_quietly
from holdfast.cli.frame import table
from holdfast.cluster.config.files import load, read_files
from holdfast.cluster.config.writer import dump
from holdfast.cluster.model.facts import ERRANDS, Request
from holdfast.cluster.model.widearea import RemoteCluster
from holdfast.cluster.service.client import ClusterClient, configuration_of
from holdfast.cluster.service.records import State
from holdfast.cluster.service.report import event_rows, group_report, info_report, resource_report, system_report
from holdfast.kernel.errors import InputError, Refusal, Refused, Unavailable
from holdfast.runtime.peer import who_asks
from holdfast.store.port import Store

Result = TypeVar("Result")
_INFO_WAIT_S = 60.0


def store_url(given: str) -> str:
    """Return the store to use: as given, from HOLDFAST_STORE, or from the file that HOLDFAST_SYSTEM_CONFIG names."""
    url = given or os.environ.get("HOLDFAST_STORE", "")
    file = os.environ.get("HOLDFAST_SYSTEM_CONFIG", "")
    if not url and file:
        try:
            url = str(tomllib.loads(Path(file).read_text("utf-8")).get("store", ""))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"cannot be read: {error}", file=file, remedy="set HOLDFAST_STORE") from error
    if not url:
        raise InputError(
            "no store is named",
            remedy="give --store or set HOLDFAST_STORE, e.g. embedded:///PATH; or set HOLDFAST_SYSTEM_CONFIG to a file",
        )
    return url


def with_client(store: str, work: Callable[[ClusterClient], Awaitable[Result]], may_create: bool = False) -> Result:
    """Open the store, do ``work`` with a client, close. Only who ``may_create`` makes a store that is not there."""
    return with_store(store, lambda opened, by: work(ClusterClient(opened, by)), may_create)


def with_store(
    store: str, work: Callable[[Store, str], Awaitable[Result]], may_create: bool = False, named: bool = True
) -> Result:
    """Open the store, do ``work`` with it and the name of who asks, close. ``may_create`` as for a client; who only
    looks need not be ``named``."""
    url = store_url(store)
    path = url.removeprefix("embedded://")
    if path != url and not may_create and not Path(path).exists():
        raise InputError(
            f"there is no store at {path}",
            remedy="correct --store or HOLDFAST_STORE; holdfast cluster load makes a store",
        )

    async def run() -> Result:
        opened = open_store(url)
        try:
            return await work(opened, await _who(opened, url) if named else "")
        except Unavailable as error:
            remedy = f"{error.remedy or 'see that it runs'}; the store is named by --store or HOLDFAST_STORE"
            raise Unavailable(error.message, remedy) from error
        finally:
            await opened.close()

    return asyncio.run(run())


async def _who(store: Store, url: str) -> str:
    """Who asks: the user that they logged in as, else who they are."""
    from holdfast.app.login import acting_as, login_file

    return (await acting_as(store) if login_file().is_file() else "") or who_asks(identity_of(url))


def read_state(store: str) -> State:
    """Return the state of the cluster."""
    return with_store(store, lambda opened, by: ClusterClient(opened, by).state(), named=False)


def submit(store: str, request: Request, wait_s: float) -> Request:
    """Put a request and wait as asked; resource requests find their group, and their system if none is named."""

    async def work(client: ClusterClient) -> Request:
        if request.operation.startswith("resource."):
            return await client.ask(complete(await client.state(), request), wait_s)
        return await client.ask(request, wait_s)

    return with_client(store, work)


def complete(state: State, request: Request) -> Request:
    """Return a request about a resource with its group, and for an errand with its system if none is named."""
    if not request.operation.startswith("resource."):
        return request
    group = configuration_of(state).group_of(request.resource)
    if group is None:
        raise Refused(Refusal("no-resource", f"there is no resource {request.resource!r}", "holdfast resource list"))
    intent = next((one for one in state.intents.values() if one.group == group.name and one.owner), None)
    system = request.system
    if not system and request.operation in ERRANDS:
        system = intent.owner if intent is not None else ""
        if not system:
            raise Refused(Refusal("no-owner", f"{group.name} has no owner", "name a system with --system"))
    return Request("", request.operation, group.name, request.resource, system, request.options)


def request_of(operation: str, values: Mapping[str, Any]) -> Request:
    """Return the request that an operation's parameters make. Raises ``InputError``."""
    options = {
        "mode": str(values.get("mode") or ""),
        "cluster": str(values.get("cluster") or ""),
        "site": str(values.get("site") or ""),
        "kind": str(values.get("kind") or ""),
        "for_s": str(values.get("for") or 600.0),
        **{name: "1" if values.get(name) else "" for name in _FLAGS},
        "reason": str(values.get("reason") or ""),
        "name": str(values.get("name") or ""),
        "amounts": str(values.get("amounts") or ""),
        "arguments": "\n".join(values.get("arguments") or ()),
    }
    if operation == "group.authority" and options["mode"] not in ("take", "release"):
        raise InputError(f"the authority is taken or released, not {options['mode']!r}", remedy="write take or release")
    if operation == "group.maintenance" and options["mode"] not in ("on", "off"):
        raise InputError(f"maintenance is on or off, not {options['mode']!r}", remedy="write on or off")
    return Request(
        "", operation, str(values.get("group") or ""), str(values.get("resource") or ""),
        str(values.get("system") or values.get("to") or ""), {key: text for key, text in options.items() if text},
    )  # fmt: skip


def _change(operation: str) -> Callable[[str, Mapping[str, Any]], Answer]:
    def run(store: str, values: Mapping[str, Any]) -> Answer:
        done = submit(store, request_of(operation, values), float(values.get("wait") or 0.0))
        return Answer(done, done.output or f"{operation.replace('.', ' ')}: {done.state.value}")

    return run


def _group_list(store: str, _values: Mapping[str, Any]) -> Answer:
    state = read_state(store)
    reports = [group_report(state, group) for group in configuration_of(state).groups.values()]
    rows = [(one.name, one.owner or "-", one.wanted, _states(one.systems), one.note.text) for one in reports]
    return Answer(reports, table(("group", "owner", "wanted", "state", "note"), rows))


def _states(systems: Mapping[str, tuple[str, ...]]) -> str:
    return " ".join(f"{name}={'|'.join(flags)}" for name, flags in systems.items())


def _group_state(store: str, values: Mapping[str, Any]) -> Answer:
    state = read_state(store)
    group = configuration_of(state).groups.get(values["group"])
    if group is None:
        raise Refused(Refusal("no-group", f"there is no group {values['group']!r}", "holdfast group list"))
    report = group_report(state, group)
    lines = [
        f"group    {report.name}",
        f"owner    {report.owner or '-'}",
        f"wanted   {report.wanted}{', frozen' if report.frozen else ''}{', maintenance' if report.maintenance else ''}",
        f"because  {report.reason or '-'}",
        f"evidence {report.evidence.kind.value + ': ' + report.evidence.text if report.evidence else '-'}",
    ]
    if report.note.code:
        lines.append(f"now      {report.note.text}")
        lines += [f"         not {name}: {why}" for name, why in report.note.rejected.items()]
        lines += [f"remedy   {report.note.remedy}"] if report.note.remedy else []
    systems = list(report.systems)
    rows: list[list[object]] = [["(group)", "", *("|".join(report.systems[name]) for name in systems)]]
    rows += [
        [one.name, one.type, *("|".join(one.systems.get(name, ())) for name in systems)] for one in report.resources
    ]
    return Answer(report, "\n".join([*lines, "", table(["resource", "type", *systems], rows)]))


def _resource_list(store: str, values: Mapping[str, Any]) -> Answer:
    state = read_state(store)
    reports = [
        resource_report(state, group, name)
        for group in configuration_of(state).groups.values()
        if not values.get("group") or group.name == values["group"]
        for name in group.resources
    ]
    rows = [(one.name, one.type, one.group, _states(one.systems)) for one in reports]
    return Answer(reports, table(("resource", "type", "group", "state"), rows))


def _resource_state(store: str, values: Mapping[str, Any]) -> Answer:
    state = read_state(store)
    group = configuration_of(state).group_of(values["resource"])
    if group is None:
        raise Refused(Refusal("no-resource", f"there is no resource {values['resource']!r}", "holdfast resource list"))
    report = resource_report(state, group, values["resource"])
    rows = [(name, "|".join(flags), report.details.get(name, "")) for name, flags in report.systems.items()]
    return Answer(report, table(("system", "state", "detail"), rows))


def _resource_info(store: str, values: Mapping[str, Any]) -> Answer:
    if values.get("refresh"):
        submit(store, request_of("resource.refreshinfo", values), float(values.get("wait") or _INFO_WAIT_S))
    state, name = read_state(store), values["resource"]
    group = configuration_of(state).group_of(name)
    if group is None:
        raise Refused(Refusal("no-resource", f"there is no resource {name!r}", "holdfast resource list"))
    found = [
        one for one in info_report(state, group, name, time.time()) if values.get("system") in (None, "", one.system)
    ]
    rows = [(one.system, one.worth, key, value) for one in found for key, value in one.values.items()]
    rows += [(one.system, one.worth, "", one.trouble) for one in found if not one.values]
    return Answer(found, table(("system", "state", "what", "value"), rows))


def _system_list(store: str, _values: Mapping[str, Any]) -> Answer:
    state = read_state(store)
    reports = [system_report(state, name) for name in configuration_of(state).systems]
    rows = [
        (
            one.name,
            one.state + (" (jeopardy)" if one.jeopardy else ""),
            "yes" if one.coordinator else "",
            one.version or "-",
            " ".join(one.owns),
        )
        for one in reports
    ]
    return Answer(reports, table(("system", "state", "coordinates", "version", "owns"), rows))


def _system_state(store: str, values: Mapping[str, Any]) -> Answer:
    state = read_state(store)
    if values["system"] not in configuration_of(state).systems:
        raise Refused(Refusal("no-system", f"there is no system {values['system']!r}", "holdfast system list"))
    report = system_report(state, values["system"])
    lines = [f"system       {report.name}", f"state        {report.state}", f"incarnation  {report.incarnation or '-'}"]
    if report.networks:
        told = ", ".join(f"{name} {'works' if works else 'is down'}" for name, works in report.networks.items())
        lines.append(f"networks     {told}" + (f"; in jeopardy: {report.jeopardy}" if report.jeopardy else ""))
    return Answer(report, "\n".join([*lines, f"owns         {' '.join(report.owns) or '-'}"]))


def _cluster_state(store: str, values: Mapping[str, Any]) -> Answer:
    systems, groups = _system_list(store, values), _group_list(store, values)
    return Answer({"systems": systems.value, "groups": groups.value}, f"{systems.text}\n\n{groups.text}")


def _cluster_remotes(store: str, _values: Mapping[str, Any]) -> Answer:
    state = read_state(store)
    found = [state.remotes.get(name, RemoteCluster(name)) for name in configuration_of(state).remote_clusters]
    rows: list[tuple[str, ...]] = []
    for one in found:
        beats = " ".join(f"{kind}={word}" for kind, word in one.heartbeats.items())
        declared = state.declared.get(one.name)
        rows.append((one.name, one.state.value, beats or "-", "-" if declared is None else declared.kind))
    lines = [table(("cluster", "state", "heartbeats", "declared"), rows)]
    shared = [
        (name, one.name, "1" if group.authority.held else "0", _flags(group.systems))
        for one in found
        for name, group in (one.summary.groups.items() if one.summary else ())
    ]
    if shared:
        lines += ["", table(("group", "cluster", "authority", "state"), shared)]
    return Answer(found, "\n".join(lines))


def _flags(systems: Mapping[str, str]) -> str:
    return " ".join(f"{name}={flags}" for name, flags in systems.items())


def _cluster_verify(_store: str, values: Mapping[str, Any]) -> Answer:
    found = load(Path(values["path"]))
    counts = {"cluster": found.name, "systems": len(found.systems), "groups": len(found.groups)}
    return Answer(counts, f"good: cluster {found.name}, {len(found.systems)} systems, {len(found.groups)} groups")


def _cluster_load(store: str, values: Mapping[str, Any]) -> Answer:
    from holdfast.app.configuration import load as commit  # which stands on this module

    files = read_files(Path(values["path"]))
    found = commit(store, files)
    value = {"cluster": found.name, "systems": list(found.systems), "groups": list(found.groups)}
    return Answer(value, f"loaded: cluster {found.name}, {len(found.systems)} systems, {len(found.groups)} groups")


def _cluster_dump(store: str, _values: Mapping[str, Any]) -> Answer:
    text = dump(configuration_of(read_state(store)))
    return Answer({"main.cf": text}, text.rstrip("\n"))


def _cluster_events(store: str, values: Mapping[str, Any]) -> Answer:
    events = with_client(store, lambda client: client.events(int(values["limit"])))
    return Answer(events, table(("when", "what", "group", "system", "by", "text"), event_rows(events)))


def _cluster_audit(store: str, values: Mapping[str, Any]) -> Answer:
    told = with_client(store, lambda client: client.audit(int(values["limit"])))
    rows = [(when, by, text, one.reason) for one, (when, _, _, _, by, text) in zip(told, event_rows(told), strict=True)]
    return Answer(told, table(("when", "who", "what", "why"), rows))


def _type_list(_store: str, _values: Mapping[str, Any]) -> Answer:
    from holdfast.app.system import agents_of
    from holdfast.cluster.agents import ocf_metadata

    built_in = sorted(agents_of(()))
    agents = [str(name) for name in ocf_metadata.installed(os.environ.get("OCF_ROOT", ocf_metadata.OCF_ROOT))]
    rows = [(name, "built in") for name in built_in] + [(name, "holdfast type import") for name in agents]
    return Answer({"types": built_in, "ocf": agents}, table(("type or agent", "how to use it"), rows))


def _type_import(store: str, values: Mapping[str, Any]) -> Answer:
    from holdfast.app.configuration import import_types
    from holdfast.cluster.agents import ocf_metadata

    if values["name"].endswith(".cf"):
        return import_types(store, Path(values["name"]), str(values.get("reason") or ""))
    name = ocf_metadata.parse_name(values["name"])
    found = ocf_metadata.read(name, os.environ.get("OCF_ROOT", ocf_metadata.OCF_ROOT))
    text = ocf_metadata.type_block(name, found)
    required = list(found.required)
    parameters = [one.name for one in found.parameters]
    value = {"type": ocf_metadata.type_name(name), "parameters": parameters, "required": required, "text": text}
    return Answer(value, text.rstrip("\n"))


def _fence_confirm(store: str, values: Mapping[str, Any]) -> Answer:
    word = with_client(store, lambda client: client.confirm_dead(values["system"], values["reason"] or ""))
    return Answer(word, f"recorded: {word.by} says that {word.system} (incarnation {word.incarnation}) is dead")


_FLAGS = (
    "force", "accept_data_loss", "propagate", "nopre", "ifprobed", "fault", "parentprop", "ignoreparent", "evacuate",
    "failover",
)  # fmt: skip

_CHANGES = (
    "group online", "group offline", "group switch", "group freeze", "group unfreeze", "group clear",
    "group maintenance", "group takeover", "resource online", "resource offline", "resource clear", "resource probe",
    "resource action", "resource offprop", "group flush", "group clearadminwait", "group autoenable", "system freeze",
    "system unfreeze", "system stop", "system load", "group authority", "cluster declare",
)  # fmt: skip


def wire() -> Wire:
    """Return the handlers of every operation of the cluster domain."""
    from holdfast.app.alerts import handlers as alert_handlers  # which stand on this module
    from holdfast.app.edits import handlers as edit_handlers  # which stands on this module
    from holdfast.app.fencing import handlers as fence_handlers
    from holdfast.app.system_setup import handlers as setup_handlers

    return Wire(
        {
            **{name: _change(name.replace(" ", ".")) for name in _CHANGES},
            "group list": _group_list,
            "group state": _group_state,
            "resource list": _resource_list,
            "resource state": _resource_state,
            "resource info": _resource_info,
            "system list": _system_list,
            "system state": _system_state,
            "cluster state": _cluster_state,
            "cluster remotes": _cluster_remotes,
            "cluster verify": _cluster_verify,
            "cluster load": _cluster_load,
            "cluster dump": _cluster_dump,
            "cluster events": _cluster_events,
            "cluster audit": _cluster_audit,
            **edit_handlers(),
            **setup_handlers(),
            "type list": _type_list,
            "type import": _type_import,
            "fence confirm": _fence_confirm,
            **fence_handlers(),
            **alert_handlers(),
        },
        names,
    )


def names(store: str, kind: str) -> Sequence[str]:
    """Return the names of every ``group``, ``resource`` or ``system`` for completion; quietly nothing if unknown."""

    def ask() -> list[str]:
        found = configuration_of(read_state(store))
        if kind == "resource":
            return [name for group in found.groups.values() for name in group.resources]
        return list(found.groups if kind == "group" else found.systems)

    return ask_quietly(ask)


def _run_system(path: Path) -> None:
    from holdfast.app.system import become_guard

    become_guard(path)


def group_commands() -> click.Group:
    """Return the commands of ``holdfast group``."""
    return group_cli.commands(wire())


def resource_commands() -> click.Group:
    """Return the commands of ``holdfast resource``."""
    return resource_cli.commands(wire())


def system_commands() -> click.Group:
    """Return the commands of ``holdfast system``."""
    return system_cli.commands(wire(), _run_system)


def cluster_commands() -> click.Group:
    """Return the commands of ``holdfast cluster``."""
    return cluster_cli.commands(wire())


def type_commands() -> click.Group:
    """Return the commands of ``holdfast type``."""
    return cluster_cli.type_commands(wire())


def fence_commands() -> click.Group:
    """Return the commands of ``holdfast fence``."""
    return cluster_cli.fence_commands(wire())
