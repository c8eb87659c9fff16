"""Real etcd members on loopback: one for the conformance suite, three for what happens when members die or hang.

Clients come over mutual TLS with identities of Holdfast's own authority; members talk to one another in the clear, on
addresses of the loopback network. Election is set to 0.5 s so that tests wait less; etcd's smallest lease is then 1 s.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from holdfast.runtime import authority, identity
from holdfast.runtime.identity import Identity, host_label
from holdfast.store.drivers import etcd_wire as wire
from holdfast.store.drivers.etcd import EtcdStore
from holdfast.store.drivers.etcd_members import Tls

LEAST_LEASE_S = 1.0
START_LIMIT_S = 20.0
OPTIONS = (
    "--heartbeat-interval=50",
    "--election-timeout=500",
    "--unsafe-no-fsync",
    "--logger=zap",
    "--log-level=error",
)


def needs_etcd() -> None:
    """Skip when there is no etcd and none can be had; as root ``make packages`` has installed it."""
    if shutil.which("etcd") is None:
        assert os.geteuid() != 0, "etcd is missing: make packages"
        pytest.skip("etcd is not installed")


def free_ports(host: str, count: int) -> list[int]:
    """Return ports of ``host`` that nobody listens on."""
    with contextlib.ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server((host, 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in listening]


class EtcdMember:
    """One member: its addresses and, while it runs, its process."""

    def __init__(self, directory: Path, name: str, host: str) -> None:
        self.name, self.host, self.directory = name, host, directory
        self.client_port, self.peer_port = free_ports(host, 2)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"http://{self.host}:{self.peer_port}"

    def start(self, tls: Path, cluster: str, options: Sequence[str]) -> None:
        command = [
            "etcd", "--name", self.name, "--data-dir", str(self.directory / self.name),
            "--listen-client-urls", f"https://{self.address}", "--advertise-client-urls", f"https://{self.address}",
            "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
            "--initial-cluster", cluster, "--cert-file", str(tls / "cert.pem"), "--key-file", str(tls / "key.pem"),
            "--trusted-ca-file", str(tls / "ca.pem"), "--client-cert-auth", *OPTIONS, *options,
        ]  # fmt: skip
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()
            self.process = None


class EtcdLab:
    """``count`` members with a Holdfast authority of their own. Stop it in the end, whatever happened."""

    def __init__(self, directory: Path, count: int = 1, options: Sequence[str] = ()) -> None:
        self.directory, self.options = directory, options
        directory.mkdir(parents=True, exist_ok=True)
        authority.create_authority(directory / "ca")
        for name in ("store:etcd", "system:hosta"):
            identity.save_identity(authority.issue(directory / "ca", name), directory / host_label(name))
        self.identity = directory / "system-hosta"
        self.members = [EtcdMember(directory, f"m{n}", f"127.0.0.{n + 1}") for n in range(count)]

    @property
    def addresses(self) -> list[str]:
        return [member.address for member in self.members]

    @property
    def url(self) -> str:
        return f"etcd://{','.join(self.addresses)}?identity={self.identity}"

    @property
    def tls(self) -> Tls:
        mine = Identity.load(self.identity)
        return Tls(mine.ca, mine.cert, mine.key, host_label("store:etcd"))

    def start(self) -> None:
        for member in self.members:
            if member.process is None:
                self.start_member(member)
        self.until_serving()

    def start_member(self, member: EtcdMember) -> None:
        cluster = ",".join(f"{one.name}={one.peer_url}" for one in self.members)
        member.start(self.directory / "store-etcd", cluster, self.options)

    def stop(self) -> None:
        for member in self.members:
            if member.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    member.signal(signal.SIGCONT)
                member.signal(signal.SIGKILL)

    def store(self, root: str = "holdfast/", call_timeout_s: float = 2.0) -> EtcdStore:
        return EtcdStore(self.addresses, self.tls, root, call_timeout_s)

    def ask(self, member: EtcdMember, method: str, request: bytes = b"", limit_s: float = 1.0) -> bytes | None:
        """Ask one member directly; None when it does not answer."""
        import grpc

        tls = self.tls
        credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.cert)
        options = [("grpc.ssl_target_name_override", tls.peer), ("grpc.enable_http_proxy", 0)]
        with grpc.secure_channel(member.address, credentials, options) as channel:
            try:
                answer: bytes = channel.unary_unary(method)(request, timeout=limit_s, wait_for_ready=True)
            except grpc.RpcError:
                return None
        return answer

    def until_serving(self) -> None:
        """Wait until every member that runs answers a linearizable read."""
        end = time.monotonic() + START_LIMIT_S
        for member in self.members:
            while member.process and self.ask(member, wire.RANGE, wire.range_request(b"\0", limit=1)) is None:
                assert member.process.poll() is None, (self.directory / f"{member.name}.log").read_text()
                assert time.monotonic() < end, (self.directory / f"{member.name}.log").read_text()

    def leader(self) -> EtcdMember:
        """Return the member that leads now."""
        end = time.monotonic() + START_LIMIT_S
        while time.monotonic() < end:
            for member in self.members:
                status = self.ask(member, "/etcdserverpb.Maintenance/Status") if member.process else None
                found = dict(wire.fields(status or b""))
                header = dict(wire.fields(found[1])) if found else {}  # type: ignore[arg-type]
                if found and found.get(4) == header.get(2):
                    return member
        raise AssertionError("no member leads")

    def compact(self, revision: int) -> None:
        assert self.ask(self.members[0], "/etcdserverpb.KV/Compact", wire.number(1, revision) + wire.number(2, 1))
