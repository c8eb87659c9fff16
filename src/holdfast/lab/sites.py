"""The lab behind continuity's port: two sites on this machine, with namespaces as root, with plain processes otherwise.

Both kinds share everything but how a host is made and how a line is cut. Without namespaces the lines that a drill
cuts are relay processes: one for the mirror, and one between each host and the witness.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.continuity.model.sites import Host, Link, layout
from holdfast.continuity.ports import Output
from holdfast.kernel.errors import HoldfastError
from holdfast.lab import network, processes, provision
from holdfast.lab.hosts import Machine, NamespaceMachine, PlainMachine, Service, run_on


class LabSites:
    """Implements :class:`holdfast.continuity.ports.Sites` in ``directory``."""

    def __init__(self, directory: Path, root: bool, seed: int = 1, store: str = "embedded") -> None:
        self._seed = seed
        self.directory, self.root, self.examples = directory, root, provision.EXAMPLES
        self._claim: socket.socket | None = None
        loopback = 0
        if not root:
            loopback, self._claim = provision.claim_loopback(directory)
        self.layout = layout(root, loopback, store)
        self._machines: dict[str, Machine] = {}
        self._services: dict[str, Service] = {}
        self._relays: dict[str, Service] = {}
        self._powered: set[str] = set()

    def boot(self) -> None:
        """Make the hosts, the network, the identities and the configuration; start the witness."""
        provision.prepare(self.directory, self.layout, self.root)
        if self.root:
            network.create_backbone()
        for number, host in enumerate(self.layout.hosts):
            self._machines[host.name] = self._machine(host, number)
            if host.spare:
                continue
            self.power_on(host.name)
        self.start("witness")
        if not self.root:
            self._start_relays()

    def power_on(self, host: str) -> None:
        """Give a host power and network if it has none."""
        if host not in self._powered:
            self._machines[host].power_on()
            self._powered.add(host)

    def start(self, *hosts: str) -> None:
        """Give hosts power if they have none, and start their services, side by side, if they do not run."""
        started = []
        for host in hosts:
            self.power_on(host)
            service = self._services.get(host)
            if service is None or not service.running:
                service = self._services[host] = self._service(self.layout.host(host))
                service.launch()
                started.append(service)
        for service in started:
            service.await_ready()

    def run(
        self,
        host: str,
        argv: Sequence[str],
        *,
        timeout_s: float = 60.0,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
    ) -> Output:
        """Run a command on a host with the paths and the identity of that host."""
        return run_on(self._machines[host], argv, {**self._environment(host), **(env or {})}, timeout_s, stdin)

    def kill(self, host: str) -> None:
        """Take a host's network and power."""
        if host in self._services:
            self._services[host].wake()
        self._machines[host].power_off()
        self._powered.discard(host)
        if host in self._services:
            self._services.pop(host).reap()

    def crash(self, host: str) -> None:
        """SIGKILL the host's service process only."""
        self._services[host].crash()

    def pause(self, host: str) -> None:
        """SIGSTOP every process of a host."""
        processes.signal_all(self._mark(host), signal.SIGSTOP)

    def resume(self, host: str) -> None:
        """SIGCONT every process of a host."""
        processes.signal_all(self._mark(host), signal.SIGCONT)

    def cut(self, link: Link) -> None:
        """Cut a link."""
        if self.root:
            network.set_link(link, up=False)
            return
        for name in self._relays_of(link):
            self._relays[name].crash()

    def mend(self, link: Link) -> None:
        """Mend a link."""
        if self.root:
            network.set_link(link, up=True)
            return
        for name in self._relays_of(link):
            self._relays[name].start()

    def how_to_talk(self) -> list[str]:
        """Return command lines that a person can type to look around in the lab."""
        lines, enter = [], []
        first = self.directory / "first.pid"
        if self.root and first.exists():
            enter = ["nsenter", "-t", first.read_text().strip(), "-m", "-p", "-n", "--"]
        for host in ("hosta", "hostc"):
            environment = self._environment(host)
            words = [f"{name}={environment[name]}" for name in sorted(environment) if name.startswith("HOLDFAST_")]
            prefix = ["env", *words, f"PATH={environment['PATH']}"]
            lines.append(shlex.join([*enter, *self._machines[host].command([*prefix, "hastatus", "-summary"])]))
        return lines

    def processes(self, host: str, pattern: str) -> int:
        """Return how many living processes of a host have ``pattern`` in their command line."""
        return len(self.pids(host, pattern))

    def pids(self, host: str, pattern: str) -> list[int]:
        """Return the living processes of a host that have ``pattern`` in their command line."""
        found = []
        for pid in processes.marked(self._mark(host)):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if pattern in command:
                found.append(pid)
        return found

    def alive(self, host: str) -> bool:
        """Return whether the host has power."""
        return host in self._powered

    def log(self, host: str) -> Path:
        """Return the log of the host's service."""
        return provision.host_directory(self.directory, host) / "service.log"

    def close(self) -> None:
        """End every host and relay."""
        for host in list(self._powered):
            processes.signal_all(self._mark(host), signal.SIGCONT)
            self.kill(host)
        for relay in self._relays.values():
            relay.crash()
        self._relays.clear()
        if self._claim is not None:
            self._claim.close()

    def _machine(self, host: Host, number: int) -> Machine:
        directory = provision.host_directory(self.directory, host.name)
        if not self.root:
            return PlainMachine(host, directory, self._mark(host.name))
        links = provision.links_of(self.directory, host)
        return NamespaceMachine(host, directory, self._mark(host.name), number, links)

    def _service(self, host: Host) -> Service:
        argv = provision.service_command(self.directory, self.layout, host, self._seed)
        if not argv:
            raise HoldfastError(f"{host.name} has no service")
        ready = provision.says_ready(self.layout, host)
        return Service(self._machines[host.name], argv, self._environment(host.name), self.log(host.name), ready)

    def _environment(self, host: str) -> dict[str, str]:
        return provision.environment(self.directory, self.layout, host, self.root) | {processes.MARK: self._mark(host)}

    def _mark(self, host: str) -> str:
        return processes.mark_of(self.directory, host)

    def _start_relays(self) -> None:
        for name, pairs in provision.relays(self.layout).items():
            argv = [sys.executable, "-m", "holdfast.lab.relay", *(word for pair in pairs for word in pair)]
            machine = PlainMachine(self.layout.host("witness"), self.directory, self._mark("relays"))
            env = {**os.environ, processes.MARK: self._mark("relays")}
            self._relays[name] = Service(machine, argv, env, self.directory / "relays.log")
            self._relays[name].start()

    def _relays_of(self, link: Link) -> list[str]:
        if link is Link.MIRROR:
            return ["mirror"]
        site = 1 if link is Link.SITE1 else 2
        return [host.name for host in self.layout.hosts if host.site == site and host.name in self._relays]


def remove_directory(directory: Path) -> None:
    """Remove a lab's directory. Refuses while anything is mounted in it."""
    mounts = Path("/proc/self/mountinfo").read_text()
    if f" {directory}/" in mounts:
        raise HoldfastError(f"something is still mounted below {directory}", "unmount it, then remove the directory")
    shutil.rmtree(directory, ignore_errors=False)
