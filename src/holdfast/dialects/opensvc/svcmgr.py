"""``svcmgr`` and ``nodemgr``: a command line, done for each service that it names; what fails is counted.

The service's moving resources are a service group of the same name; starting, stopping and freezing are requests to the
cluster. A service that only has sync resources needs no cluster: nothing of it starts or stops, and it is always down.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.cluster.config.edit import Draft
from holdfast.cluster.service.report import GroupReport
from holdfast.dialects.opensvc import commandline, schedules
from holdfast.dialects.opensvc.commandline import Line
from holdfast.dialects.opensvc.home import LOCK_LIMIT_S, Home
from holdfast.dialects.opensvc.service import Resource, Service, Sync
from holdfast.dialects.opensvc.status import Line as Row
from holdfast.dialects.opensvc.status import Status, Tree, of_flags
from holdfast.dialects.opensvc.syncing import Order, Syncing
from holdfast.dialects.opensvc.translate import group_of, resource_name
from holdfast.dialects.opensvc.values import duration_s
from holdfast.kernel.errors import HoldfastError, InputError, Refusal, Refused
from holdfast.runtime.textfile import read_text

_LOCKED = frozenset(
    ("start", "stop", "restart", "resync", "sync resync", "sync update", "sync all", "create", "delete")
)
_REQUESTS: Mapping[str, str] = {
    "start": "group.online", "stop": "group.offline", "switch": "group.switch", "freeze": "group.freeze",
    "thaw": "group.unfreeze",
}  # fmt: skip
_DOWN = frozenset(("OFFLINE", "FAULTED"))
"""Flags of a group of which nothing runs on a system; a system that does not tell may run it."""
_RESYNCS = ("sync resync", "sync update", "sync all")


@dataclass(frozen=True, slots=True)
class OpensvcWire:
    """What the composition root binds: the directories, the group of a service (None: there is none), a request
    (operation, group, system) that returns once it is done, and a change of the cluster's configuration."""

    home: Home
    group: Callable[[str], GroupReport | None]
    request: Callable[[str, str, str], None]
    edit: Callable[[Callable[[Draft], None]], None]


def run(arguments: Sequence[str], wire: OpensvcWire) -> int:
    """Run ``svcmgr`` with the words after its name; return its exit code."""
    line = commandline.parse(arguments)
    if line.has("help"):
        sys.stdout.write(commandline.usage() + "\n")
        return 0
    services = line.services or _implied(line, wire)
    code = 0
    for name in services:
        try:
            code += Manager(name, line, wire).act()
        except HoldfastError as error:
            wire.home.logger(name).error("%s", str(error).replace("\n  remedy: ", "; remedy: "))
            code += 1
    return code


def run_schedulers(arguments: Sequence[str], wire: OpensvcWire) -> int:
    """Run ``nodemgr schedulers``, as cron does every minute: what is due of every service here."""
    if list(arguments) != ["schedulers"]:
        raise InputError("nodemgr knows one action here", remedy="nodemgr schedulers, every minute from cron")
    return min(sum(run(["-s", name, "sync", "all", "--cron"], wire) for name in wire.home.names()), 255)


def _implied(line: Line, wire: OpensvcWire) -> tuple[str, ...]:
    if line.action in ("print status", "print schedule", "status"):
        return tuple(wire.home.names())
    raise InputError("no service is named", remedy="svcmgr -s SERVICE ...")


class Manager:
    """One action on one service."""

    def __init__(self, name: str, line: Line, wire: OpensvcWire) -> None:
        self._name, self._line, self._wire, self._home = name, line, wire, wire.home

    def act(self) -> int:
        """Do it; return 0, or the exit code of ``status``."""
        if self._line.action not in _LOCKED or self._line.has("dry-run"):
            return self._act()
        given = self._line.values.get("waitlock", "")
        limit_s = duration_s(given if given.endswith(("s", "m", "h")) else f"{given}s") if given else LOCK_LIMIT_S
        self._home.path(self._name)
        with self._home.lock(self._name, limit_s):
            return self._act()

    def _act(self) -> int:
        match self._line.action:
            case "create":
                return self._create()
            case "validate config":
                return self._validate()
            case "logs":
                return self._print_file(self._home.log / f"{self._name}.log")
        service = self._home.read(self._name)
        match self._line.action:
            case "print config":
                return self._print_file(Path(service.file.path))
            case "print schedule":
                return self._print_schedule(service)
            case "print status" | "status":
                return self._status(service)
            case "delete":
                return self._delete(service)
            case "sync nodes" | "sync drp":
                self._home.logger(self._name).info("nothing to do: flash copies have no copies on nodes")
                return 0
        return self._move_or_sync(service)

    def _move_or_sync(self, service: Service) -> int:
        match self._line.action:
            case "restart":
                self._request(service, "stop")
                self._request(service, "start")
            case "resync":
                self._request(service, "stop")
                self._resync(service, "sync resync")
                self._request(service, "start")
            case action if action in _RESYNCS:
                self._resync(service, action)
            case action:
                self._request(service, action)
        return 0

    # --- what moves

    def _request(self, service: Service, action: str) -> None:
        log = self._home.logger(self._name)
        report = self._wire.group(self._name)
        if report is None and service.moving:
            text = f"{self._name} has no service group in the cluster"
            remedy = f"svcmgr -s {self._name} create --config {service.file.path}"
            raise Refused(Refusal("no-group", text, remedy))
        if report is None:
            log.info("nothing to %s: the service has only sync resources", action)
            return
        system = {"start": self._home.system, "switch": self._line.values.get("to", "")}.get(action, "")
        if action == "switch" and not system:
            raise InputError("switch to which system?", remedy="add --to SYSTEM")
        if self._line.has("dry-run"):
            log.info("would ask the cluster: %s of %s %s", action, self._name, system)
            return
        self._wire.request(_REQUESTS[action], self._name, system)
        log.info("%s done", action)

    def _running_on(self, service: Service) -> tuple[str, ...]:
        report = self._wire.group(self._name)
        if report is None:
            if service.moving:
                self._request(service, "stop")  # says that there is no group
            return ()
        return tuple(name for name, flags in report.systems.items() if not _DOWN.issuperset(flags))

    # --- copies

    def _resync(self, service: Service, action: str) -> None:
        syncing, running_on = Syncing(service, self._home), self._running_on(service)
        order = Order(action, running_on, self._line.has("force"), self._line.has("cron"), self._line.has("dry-run"))
        chosen = [one for one in self._chosen(service) if not one.resource.disabled]
        failed = []
        for one in chosen:
            try:
                syncing.resync(one, order)
            except HoldfastError as error:
                told = f"{error.message}; remedy: {error.remedy}" if error.remedy else error.message
                self._home.logger(self._name, one.resource.rid).error("%s", told)
                failed.append(one.resource.rid)
        if failed:
            raise HoldfastError(f"{action} failed for {', '.join(failed)}", "see the lines above")

    def _chosen(self, service: Service) -> list[Sync]:
        return [one for one in service.syncs if self._is_chosen(one.resource)]

    def _is_chosen(self, one: Resource) -> bool:
        rids, tags, subsets = (self._line.chosen(name) for name in ("rid", "tags", "subsets"))
        named = not rids or one.rid in rids or one.group in rids
        return named and (not tags or bool(tags & set(one.tags))) and (not subsets or one.subset in subsets)

    # --- looking

    def _status(self, service: Service) -> int:
        tree = self._tree(service)
        if self._line.action == "status":
            sys.stdout.write(tree.overall.word + "\n")
            return tree.overall.value
        as_json = self._line.values.get("format") == "json"
        sys.stdout.write((json.dumps(tree.document(), indent=2) if as_json else tree.text()) + "\n")
        return 0

    def _tree(self, service: Service) -> Tree:
        report = self._wire.group(self._name) if service.moving else None
        found = {one.name: one for one in report.resources} if report is not None else {}
        rows = []
        for one in filter(self._is_chosen, service.moving):
            known = found.get(resource_name(self._name, one))
            here = known.systems.get(self._home.system, ()) if known is not None else ()
            label = service.text(one.section, {"fs": "mnt", "ip": "ipname"}.get(one.group, "script"))
            rows.append(Row(one.rid, of_flags(here) if known is not None else Status.UNDEF, label))
        syncs = Syncing(service, self._home).lines(self._chosen(service))
        return Tree(self._name, tuple(rows), syncs, bool(report and report.frozen))

    def _print_schedule(self, service: Service) -> int:
        last = {one.resource.rid: self._home.ran(self._name, one.resource.rid) or 0.0 for one in service.syncs}
        rows = schedules.rows_of(self._chosen(service), last)
        if self._line.values.get("format") == "json":
            keys = ("action", "last_run", "config_parameter", "schedule_definition")
            sys.stdout.write(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2) + "\n")
        else:
            sys.stdout.write(schedules.table(rows) + "\n")
        return 0

    def _print_file(self, path: Path) -> int:
        sys.stdout.write(read_text(path))
        return 0

    # --- the file

    def _validate(self) -> int:
        given = self._line.values.get("config")
        service = self._home.read(self._name, Path(given) if given else None)
        for text in service.warnings:
            self._home.logger(self._name).warning("%s is not known and means nothing here", text)
        return 0

    def _create(self) -> int:
        given = self._line.values.get("config")
        if not given:
            raise InputError("create from which file?", remedy="add --config FILE")
        if self._home.path(self._name).exists():
            text = f"{self._name} has a service file already"
            raise Refused(
                Refusal("exists", text, f"svcmgr -s {self._name} delete, or edit {self._home.path(self._name)}")
            )
        service = self._home.read(self._name, Path(given))
        if service.moving:
            self._wire.edit(lambda draft: group_of(service, draft))
        path = self._home.install(self._name, read_text(Path(given)))
        self._home.logger(self._name).info("%s written%s", path, " and group added" if service.moving else "")
        return 0

    def _delete(self, service: Service) -> int:
        running = self._running_on(service) if self._wire.group(self._name) is not None else ()
        if running:
            text = f"{self._name} runs on {', '.join(running)}"
            raise Refused(Refusal("not-down", text, f"svcmgr -s {self._name} stop"))
        if service.moving and self._wire.group(self._name) is not None:
            self._wire.edit(lambda draft: draft.delete("group", self._name, force=True))
        aside = Path(f"{service.file.path}.deleted-{time.strftime('%Y%m%dT%H%M%S')}")
        Path(service.file.path).rename(aside)
        self._home.logger(self._name).info("service file kept as %s", aside)
        return 0
