"""The system daemon's composition root: reads its TOML file, plugs in agents and ports, runs it under the guard.

``holdfast system run`` checks the file and becomes the guard, which starts this module as the daemon. The file:

.. code-block:: toml

    name = "hosta"                           # this system's name in main.cf
    store = "embedded:///var/lib/holdfast/cluster.db"
    run_directory = "/run/holdfast/hosta"
    socket = "/run/holdfast/control.sock"    # where commands of this machine knock; default: in run_directory
    heartbeat_interval_s = 0.4               # these three: docs/explanation/timing.md; the same on every system
    lease_ttl_s = 2.75
    margin_s = 0.3
    on_expiry = "kill"                       # or "reboot", with reboot_command = [...]
    watchdog = "/dev/watchdog"               # resets the machine if the guard itself hangs; default: none
    watchdog_mode = "automatic"              # go on without one; "required": do not start then; "off"
    isolation = "auto"                       # or "marker": no PID namespaces, as for an ordinary user
    process_scope = "system"                 # MonitorProcesses looks at the whole system, or only at the "workload"
    log = "/var/log/holdfast/hosta.log"      # default: standard error
    gathering = "auto"                       # datagrams between systems save commits: "off", or listen at "HOST:PORT"
    triggers = "/etc/holdfast/triggers"      # programs of this site that run on events; this is the default
    log_directory = "/var/log/holdfast/vcs"  # engine_A.log and one log per agent as VCS users expect; default: none

    [environment]                            # added to every command of an agent
    DSCLI_STORE = "..."

    [agents]
    plugins = ["holdfast.continuity.agents.metromirror:MetroMirror"]

    [plugins]                                # each "module:factory", called with [settings] as a mapping
    devices = "module:factory"               # BlockDevices
    standings = "module:factory"             # Standings
    [plugins.fences]                         # group (or "*") = factory of a Fence
    "VCS_Cluster" = "module:factory"

    [wide_area]                              # only with global groups: where the connector listens, and as whom
    listen = "10.0.0.1:14155"
    identity = "/etc/holdfast/cluster.tls"   # of cluster:NAME

    [networks]                               # two or more, each with addresses that are reached over it
    red = ["10.1.0.2", "10.1.0.3"]
    blue = ["10.2.0.2", "10.2.0.3"]

    [[fencing.hostb]]                        # what ends hostb from outside; the same table on every system
    agent = "fence_ipmilan"
    parameters = { ip = "10.0.9.2", username = "holdfast", lanplus = "1" }
    secrets = { password = "ipmi-hostb" }    # files of mode 600

    [settings]                               # free; given to the factories
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import holdfast
from holdfast.app.fencing import check_devices, read_devices
from holdfast.cluster.agents.power import FenceAgents
from holdfast.cluster.agents.registry import BUILT_IN, Agents
from holdfast.cluster.agents.remotegroup import RemoteGroup
from holdfast.cluster.agents.systemd import ON_EXPIRY
from holdfast.cluster.model.power import PowerDevice
from holdfast.cluster.model.timing import HEARTBEAT_INTERVAL_S, LEASE_TTL_S, MARGIN_S
from holdfast.cluster.ports import Agent
from holdfast.cluster.service.daemon import Parts, Settings, SystemDaemon
from holdfast.cluster.service.datagrams import Datagrams
from holdfast.cluster.service.door import Door
from holdfast.cluster.service.guard import GUARD_FD
from holdfast.cluster.service.launcher import GuardLink
from holdfast.cluster.service.meters import Meters
from holdfast.cluster.service.networks import Networks
from holdfast.cluster.service.othercluster import StoredClusters
from holdfast.cluster.service.wac import WideArea
from holdfast.cluster.service.widebeat import echo_socket
from holdfast.dialects.vcs.enginelog import EngineLog
from holdfast.kernel.errors import InputError
from holdfast.runtime.identity import client_context, host_label, server_context
from holdfast.runtime.peer import user_name
from holdfast.runtime.textfile import choice_in, number_in, read_toml

TRIGGERS = "/etc/holdfast/triggers"
GUARD = "holdfast.cluster.service.guard"
GUARD_PID = "guard.pid"
_NAME = re.compile(r"\w[\w.-]*")
_FEWER_THREADS = "-event_engine_client,-event_engine_listener"
"""gRPC's newer engine wakes a pool of threads at each message: for an idle daemon a third of all it costs."""
_REBOOT = ["/sbin/reboot", "-f"]
_KNOWN = (
    "name", "store", "run_directory", "heartbeat_interval_s", "lease_ttl_s", "margin_s", "on_expiry", "reboot_command",
    "isolation", "process_scope", "log", "socket", "log_directory", "triggers", "environment", "agents", "plugins",
    "settings", "guard", "wide_area", "fencing", "watchdog", "watchdog_mode",
    "networks", "gathering",
)  # fmt: skip


@dataclass(frozen=True)
class SystemFile:
    """What the TOML file says."""

    path: Path
    settings: Settings
    store: str
    guard: Mapping[str, Any]
    log: str = ""
    agents: tuple[str, ...] = ()
    plugins: Mapping[str, Any] = field(default_factory=dict)
    free: Mapping[str, Any] = field(default_factory=dict)
    log_directory: str = ""
    socket: Path = Path()
    wide_area: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, tuple[PowerDevice, ...]] = field(default_factory=dict)
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gathering: str = "auto"


def read_system_file(path: Path) -> SystemFile:
    """Read and check a system's file. Raises :class:`InputError`."""
    table = read_toml(path)
    for name in table:
        if name not in _KNOWN:
            raise InputError(f"{name!r} is not a setting", file=str(path), remedy=f"known are {', '.join(_KNOWN)}")
    for name in ("name", "store", "run_directory"):
        if not isinstance(table.get(name), str):
            raise InputError(f"setting {name!r} is missing", file=str(path), remedy=f'add {name} = "..."')
    if not _NAME.fullmatch(table["name"]):
        raise InputError(f"name: {table['name']!r} is not a name", file=str(path), remedy="write it as in main.cf")
    agents = _section(table, "agents", path).get("plugins", [])
    if not isinstance(agents, list):
        raise InputError("agents.plugins is a list", file=str(path), remedy='write plugins = ["module:Type"]')
    plugins = _section(table, "plugins", path)
    for plugin in (*agents, *_named(plugins), *_section(plugins, "fences", path).values()):
        _insist_plugin(plugin, path)
    return SystemFile(
        path, _settings(table, path), table["store"], _guard(table, path), str(table.get("log", "")), tuple(agents),
        plugins, _section(table, "settings", path), log_directory=str(table.get("log_directory", "")),
        socket=Path(table.get("socket") or Path(table["run_directory"]) / "control.sock"),
        wide_area=_wide_area(table, path), devices=read_devices(table, path),
        networks=_networks(table, path), gathering=_gathering(table, path),
    )  # fmt: skip


def _settings(table: Mapping[str, Any], path: Path) -> Settings:
    ttl_s = number_in(table, "lease_ttl_s", LEASE_TTL_S, path)
    interval_s = number_in(table, "heartbeat_interval_s", HEARTBEAT_INTERVAL_S, path)
    if not 0 < interval_s * 2 <= ttl_s:
        raise InputError(
            "lease_ttl_s must be at least twice heartbeat_interval_s", file=str(path), remedy="for example 2.75 and 0.4"
        )
    default = "system" if os.geteuid() == 0 else "workload"
    return Settings(
        name=table["name"],
        run_directory=Path(table["run_directory"]),
        heartbeat_interval_s=interval_s,
        lease_ttl_s=ttl_s,
        margin_s=number_in(table, "margin_s", MARGIN_S, path),
        whole_system=choice_in(table, "process_scope", ("system", "workload"), default, path) == "system",
        user=user_name(os.geteuid()),
        environment={
            **{str(key): str(value) for key, value in _section(table, "environment", path).items()},
            ON_EXPIRY: str(_guard(table, path)["on_expiry"]),
        },
        triggers=Path(str(table.get("triggers", TRIGGERS))),
        version=holdfast.__version__,
    )


def _guard(table: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    guard: dict[str, Any] = {
        "on_expiry": choice_in(table, "on_expiry", ("kill", "reboot"), "kill", path),
        "isolation": choice_in(table, "isolation", ("auto", "marker"), "auto", path),
    }
    if guard["on_expiry"] == "reboot" or "reboot_command" in table:
        command = table.get("reboot_command", _REBOOT)
        if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
            raise InputError("reboot_command is a list of words", file=str(path), remedy=f"write {_REBOOT!r}")
        guard["reboot_command"] = command
    if watchdog := _watchdog(table, path):
        guard["watchdog"] = watchdog
    return {**guard, **_section(table, "guard", path)}


def _networks(table: Mapping[str, Any], path: Path) -> Mapping[str, tuple[str, ...]]:
    section = _section(table, "networks", path)
    for name, value in section.items():
        good = isinstance(value, list) and value and all(isinstance(one, str) and one for one in value)
        if not good:
            remedy = f'write {name} = ["10.1.0.1", "10.1.0.2"]'
            raise InputError(f"networks.{name} is a list of addresses", file=str(path), remedy=remedy)
    if len(section) == 1:
        remedy = "name the second one too, or take [networks] away"
        raise InputError("[networks] names one network; two make a difference", file=str(path), remedy=remedy)
    return {name: tuple(value) for name, value in section.items()}


def _gathering(table: Mapping[str, Any], path: Path) -> str:
    value = str(table.get("gathering", "auto"))
    host, _, port = value.rpartition(":")
    if value not in ("auto", "off") and not (host and port.isdecimal() and int(port) <= 65535):
        raise InputError(f"gathering: {value!r} is no place to listen", file=str(path), remedy='write "auto" or "off"')
    return value


def _watchdog(table: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Return what the guard arms; its timeout is at most half a lease, in whole seconds as devices count."""
    device = table.get("watchdog", "")
    mode = choice_in(table, "watchdog_mode", ("off", "automatic", "required"), "automatic" if device else "off", path)
    if mode == "off":
        return {}
    if not isinstance(device, str) or not device:
        raise InputError("watchdog_mode without a watchdog", file=str(path), remedy='write watchdog = "/dev/watchdog"')
    ttl_s, margin_s = number_in(table, "lease_ttl_s", LEASE_TTL_S, path), number_in(table, "margin_s", MARGIN_S, path)
    timeout_s = max(1, int(ttl_s / 2))
    if timeout_s + 2 * number_in(table, "heartbeat_interval_s", HEARTBEAT_INTERVAL_S, path) > ttl_s + margin_s:
        text = f"a lease of {ttl_s:g} s is too short for a watchdog, which counts whole seconds"
        raise InputError(text, file=str(path), remedy=f"write lease_ttl_s = {LEASE_TTL_S:g}")
    return {"device": device, "timeout_s": timeout_s, "margin_s": margin_s, "required": mode == "required"}


def _wide_area(table: Mapping[str, Any], path: Path) -> Mapping[str, str]:
    section = {str(name): str(value) for name, value in _section(table, "wide_area", path).items()}
    if section and set(section) != {"listen", "identity"}:
        raise InputError("[wide_area] has listen and identity", file=str(path), remedy='listen = "ADDRESS:14155"')
    if section:
        section["identity"] = str(path.parent / section["identity"])
    return section


def _section(table: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    section = table.get(name, {})
    if not isinstance(section, dict):
        raise InputError(f"{name} is a table, not {section!r}", file=str(path), remedy=f"write [{name}] above its keys")
    return section


def _named(plugins: Mapping[str, Any]) -> list[Any]:
    return [value for name, value in plugins.items() if name != "fences"]


def _insist_plugin(name: object, path: Path) -> None:
    """Only looks for the module: a daemon that cannot load a plugin would be started again and again."""
    module, _, attribute = name.partition(":") if isinstance(name, str) else ("", "", "")
    try:
        found = bool(module and attribute) and importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise InputError(f"plugin {name!r} cannot be loaded", file=str(path), remedy="write module:name")


def become_guard(path: Path) -> None:
    """Check the file, then replace this process by the guard. Does not return."""
    from holdfast.app.store import check_store

    file = read_system_file(path)
    try:
        check_store(file.store)
    except InputError as error:
        raise error.inside(str(path), "store") from error
    if file.devices:
        check_devices(file.devices, path)
    if file.networks:
        _insist_echo(path)
    file.settings.run_directory.mkdir(parents=True, exist_ok=True)
    other = guard_of(file)
    if other:
        text = f"{file.settings.name} is guarded already, by process {other}"
        raise InputError(text, file=str(path), remedy="stop it first, or start one that was stopped by force: hastart")
    (file.settings.run_directory / GUARD_PID).write_text(str(os.getpid()), "utf-8")
    if file.log:
        output = os.open(file.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
    arguments = {"daemon": [sys.executable, "-m", "holdfast.app.system", str(path.resolve())], **file.guard}
    modules = [str(Path(holdfast.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(modules)}
    environment.setdefault("GRPC_EXPERIMENTS", _FEWER_THREADS)
    argv = [sys.executable, "-S", "-m", GUARD, json.dumps(arguments)]
    os.execve(sys.executable, argv, environment)


def _insist_echo(path: Path) -> None:
    """Refuse to watch networks where no echo request may be sent: all of them would seem to be down."""
    try:
        echo_socket()[0].close()
    except PermissionError as error:
        remedy = "run as root, or let this user's group send them: sysctl net.ipv4.ping_group_range"
        raise InputError("[networks] needs echo requests (ICMP)", file=str(path), remedy=remedy) from error


def guard_of(file: SystemFile) -> int:
    """Return the process that guards this system now, or 0."""
    try:
        pid = int((file.settings.run_directory / GUARD_PID).read_text("utf-8"))
        line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return 0
    mine = str(file.path.resolve()).encode()
    return pid if GUARD.encode() in line and any(mine in word for word in line) else 0


def resume_guard(pid: int) -> bool:
    """Let a guard whose system was stopped by force start its daemon again; False when the daemon runs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    for child in children:
        if b"holdfast.app.system" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
            return False
    os.kill(pid, signal.SIGUSR1)
    return True


def agents_of(names: tuple[str, ...]) -> Agents:
    """Return the agents by type: the built-in ones, those that the file names as ``module:Type``, and for any other
    type one that runs what the type itself names."""
    from holdfast.app.store import open_store

    agents: dict[str, Agent] = {kind: factory() for kind, factory in BUILT_IN.items()}
    agents["RemoteGroup"] = RemoteGroup(StoredClusters(open_store, "holdfast"))
    for name in names:
        agents[name.rpartition(":")[2]] = load(name)()
    return Agents(agents)


def load(name: str) -> Any:
    """Return what ``module:attribute`` names. Raises :class:`InputError` when there is no such thing."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"plugin {name!r} cannot be loaded: {error}", remedy="write module:name") from error


def _plug(file: SystemFile, name: str) -> Any:
    wanted = file.plugins.get(name)
    return None if wanted is None else load(wanted)(file.free)


def _chronicle(file: SystemFile) -> EngineLog | None:
    return EngineLog(Path(file.log_directory), file.settings.name) if file.log_directory else None


def _connector(file: SystemFile) -> WideArea | None:
    if not file.wide_area:
        return None
    identity = Path(file.wide_area["identity"])
    return WideArea(file.wide_area["listen"], server_context(identity), client_context(identity), host_label)


def _post(file: SystemFile) -> Datagrams | None:
    """Only with etcd: there a sign of life costs every member a write to its disk."""
    from holdfast.app.store import members_of

    members = members_of(file.store)
    if not members or file.gathering == "off":
        return None
    return Datagrams(members, "" if file.gathering == "auto" else file.gathering)


async def _run(file: SystemFile) -> None:
    from holdfast.app.door import clerk
    from holdfast.app.store import open_store

    descriptor = os.environ.get(GUARD_FD)
    if descriptor is None:
        raise InputError("no guard above this process", remedy="use holdfast system run")
    link = GuardLink(socket.socket(fileno=int(descriptor)))
    store = open_store(file.store)
    fences = {group: load(name)(file.free) for group, name in file.plugins.get("fences", {}).items()}
    door = Door(file.socket, clerk(file.store, file.path))
    wide_area = _connector(file)
    devices, standings = _plug(file, "devices"), _plug(file, "standings")
    parts = Parts(
        store,
        agents_of(file.agents),
        devices,
        fences,
        standings,
        Meters(),
        chronicle=_chronicle(file),
        door=door,
        keeps_decisions=True,
        wide_area=wide_area,
        networks=Networks(file.networks) if file.networks else None,
        post=_post(file),
        power=(lambda log: FenceAgents(file.devices, log)) if file.devices else None,
    )
    daemon = SystemDaemon(file.settings, parts, link, os.environ["HOLDFAST_INCARNATION"])
    try:
        await daemon.run()
    finally:
        await store.close()


def main() -> int:
    """Entry point of the daemon under its guard."""
    asyncio.run(_run(read_system_file(Path(sys.argv[1]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
