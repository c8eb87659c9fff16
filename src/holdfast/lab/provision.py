"""What every host of the lab finds when it starts: its identity, its configuration, its commands, its environment.

Everything lies in the lab's directory, one folder a host. The cluster's configuration is the example's, unchanged as
root; without root the loopback variant gets the directory's name. Nothing here knows how a host is made.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

from holdfast.continuity.model.sites import Host, Layout, Role
from holdfast.kernel.errors import HoldfastError
from holdfast.lab import processes
from holdfast.replication.service.users import add_user
from holdfast.runtime import authority, identity
from holdfast.runtime.secretfile import write_secret

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "two-sites"
BIN = Path(sys.executable).parent
DSCLI_PASSWORD = "drill-only"
_CLAIM_PORT = 7399


def claim_loopback(directory: Path) -> tuple[int, socket.socket]:
    """Choose the second number (64 to 127) of a lab's loopback addresses, so that labs side by side share none.

    The socket that is returned holds the claim until it is closed.
    """
    first = zlib.crc32(directory.name.encode()) % 64
    for number in (64 + (first + step) % 64 for step in range(64)):
        claim = socket.socket()
        try:
            claim.bind((f"127.{number}.0.1", _CLAIM_PORT))
            claim.listen(1)
        except OSError:
            claim.close()
            continue
        (directory / "loopback").write_text(str(number))
        return number, claim
    raise HoldfastError("64 labs run on this machine already", "end one, or look for what listens on port 7399")


def loopback_of(directory: Path) -> int:
    """Return the second number of the loopback addresses that the lab in ``directory`` claimed, 77 if it has none."""
    claimed = directory / "loopback"
    return int(claimed.read_text()) if claimed.exists() else 77


def host_directory(directory: Path, host: str) -> Path:
    """Return the folder of a host."""
    return directory / host.replace(":", "-")


def prepare(directory: Path, layout: Layout, root: bool) -> None:
    """Write everything that hosts need before they start."""
    authority.create_authority(directory / "authority")
    for host in layout.hosts:
        home = host_directory(directory, host.name)
        (home / "local").mkdir(parents=True)
        identity.save_identity(authority.issue(directory / "authority", identity_name(host)), home / "tls")
    identity.save_identity(authority.issue(directory / "authority", "drill:eyes"), directory / "eyes")
    _programs(directory)
    _cluster_files(directory)
    for array in layout.of(Role.ARRAY):
        add_user(host_directory(directory, array.name) / "users", "admin", DSCLI_PASSWORD)
        (host_directory(directory, array.name) / "array.toml").write_text(_array_config(directory, layout, array, root))
    for server in layout.of(Role.SERVER):
        (host_directory(directory, server.name) / "server.toml").write_text(_server_config(directory, layout, server))
    for node in ("vcsshare", "vcsdc1", "vcsdc2", "delhi"):
        write_secret(directory / f"{node}.password", os.urandom(9).hex().encode())
    (directory / "plain").mkdir()
    for system in layout.of(Role.SYSTEM):
        (host_directory(directory, system.name) / "system.toml").write_text(
            _system_config(directory, layout, system, root)
        )


def identity_name(host: Host) -> str:
    """Return the name that a host's certificate proves."""
    return "store:witness" if host.role is Role.WITNESS else f"{host.role.value}:{host.name}"


def links_of(directory: Path, host: Host) -> dict[str, str]:
    """Return the links in a system's own root directory: the command names where administrators look for them."""
    if host.role is not Role.SYSTEM:
        return {}
    return {
        "/opt/holdfast/bin": str(directory / "bin"),
        "/opt/ibm/dscli": str(directory / "dscli"),
        "/opt/VRTS/bin": str(directory / "bin"),
        "/opt/tivoli/tsm/client/ba/bin": str(directory / "bin"),
    }


def store_url(layout: Layout, host: str, root: bool) -> str:
    """Return the store as a host reaches it: directly, or without namespaces through its own relay."""
    relayed = not root and layout.host(host).role in (Role.SYSTEM, Role.ARRAY)
    address = _relay_address(layout, host) if relayed else layout.host("witness").address
    if layout.store == "etcd":
        return f"etcd://{address}:{layout.store_port}?peer={identity_name(layout.host('witness'))}"
    return f"served://{address}:{layout.store_port}"


def environment(directory: Path, layout: Layout, host: str, root: bool) -> dict[str, str]:
    """Return the environment of everything that runs on a host."""
    home = host_directory(directory, host)
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TERM", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PATH": f"{directory / 'bin'}:{BIN}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "HOLDFAST_STORE": store_url(layout, host, root),
        "HOLDFAST_IDENTITY": str(home / "tls"),
        "HOLDFAST_SYSTEM_CONFIG": str(home / "system.toml"),
        "HOLDFAST_SYSTEM": host,
        "HOLDFAST_LOCKS": str(home / "locks"),
        "LEDGER_PID_FILE": pid_file(directory, host, root),
    }


def service_command(directory: Path, layout: Layout, host: Host, seed: int) -> Sequence[str]:
    """Return the command line of a host's service; ``seed`` is that of the client's random records."""
    home = host_directory(directory, host.name)
    holdfast = str(BIN / "holdfast")
    match host.role:
        case Role.SYSTEM:
            return [holdfast, "system", "run", "--config", str(home / "system.toml")]
        case Role.ARRAY:
            return [holdfast, "array", "serve", "--config", str(home / "array.toml")]
        case Role.SERVER:
            config = home / "recovered" / "server.toml" if host.spare else home / "server.toml"
            return [holdfast, "server", "run", "--config", str(config)]
        case Role.WITNESS:
            if layout.store == "etcd":
                return _etcd(home, layout, host)
            listen = f"{host.address}:{layout.store_port}"
            path = str(home / "cluster.db")
            return [holdfast, "store", "serve", "--path", path, "--listen", listen, "--identity", str(home / "tls")]
        case Role.CLIENT:
            addresses, out = ",".join(layout.ledger_addresses), str(directory / "acknowledged")
            return [
                sys.executable,
                "-m",
                "holdfast.lab.load",
                "--address",
                addresses,
                "--out",
                out,
                "--seed",
                str(seed),
            ]


def _etcd(home: Path, layout: Layout, host: Host) -> Sequence[str]:
    """One member at the third site; its peer address is used by nobody."""
    clients, peers = f"https://{host.address}:{layout.store_port}", f"http://{host.address}:{layout.store_port + 1}"
    tls = home / "tls"
    return [
        "etcd", "--name", host.name, "--data-dir", str(home / "etcd"), "--logger", "zap",
        "--listen-client-urls", clients, "--advertise-client-urls", clients, "--listen-peer-urls", peers,
        "--initial-advertise-peer-urls", peers, "--initial-cluster", f"{host.name}={peers}",
        "--cert-file", str(tls / "cert.pem"), "--key-file", str(tls / "key.pem"),
        "--trusted-ca-file", str(tls / "ca.pem"), "--client-cert-auth",
        "--auto-compaction-mode", "revision", "--auto-compaction-retention", "20000",
    ]  # fmt: skip


def says_ready(layout: Layout, host: Host) -> bytes:
    """Return what a line of a service's log holds once it serves; nothing for one that does not say so."""
    if host.role is Role.SYSTEM:
        return b""
    return b"serving client traffic securely" if host.role is Role.WITNESS and layout.store == "etcd" else b"ready\n"


def relays(layout: Layout) -> dict[str, list[tuple[str, str]]]:
    """Return the lines that can be cut without namespaces: name → (listen address, target address)."""
    one, two = layout.of(Role.ARRAY)
    lines = {
        "mirror": [
            (f"{mirror_relay(one)}:{layout.mirror_port}", f"{one.mirror_address}:{layout.mirror_port}"),
            (f"{mirror_relay(two)}:{layout.mirror_port}", f"{two.mirror_address}:{layout.mirror_port}"),
        ]
    }
    witness = f"{layout.host('witness').address}:{layout.store_port}"
    for host in (*layout.of(Role.SYSTEM), *layout.of(Role.ARRAY)):
        lines[host.name] = [(f"{_relay_address(layout, host.name)}:{layout.store_port}", witness)]
    return lines


def mirror_relay(array: Host) -> str:
    """Return the address at which the peer reaches an array's mirror link without namespaces."""
    return _elsewhere(array.mirror_address, "9")


def _relay_address(layout: Layout, host: str) -> str:
    return _elsewhere(layout.host(host).address, "1")


def _elsewhere(address: str, third: str) -> str:
    first, second, _, last = address.split(".")
    return f"{first}.{second}.{third}.{last}"


def _programs(directory: Path) -> None:
    from holdfast.app.dialect import install_links

    bin_directory = directory / "bin"
    install_links(bin_directory)
    (bin_directory / "holdfast").symlink_to(BIN / "holdfast")
    _wrapper(bin_directory / "python3", sys.executable)
    _wrapper(bin_directory / "ledger", sys.executable, str(EXAMPLES / "ledger.py"))
    (directory / "dscli").mkdir()
    (directory / "dscli" / "dscli").symlink_to(BIN / "holdfast")
    write_secret(directory / "dscli.password", DSCLI_PASSWORD.encode())


def _wrapper(path: Path, *command: str) -> None:
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(0o755)


def _cluster_files(directory: Path) -> None:
    cluster = directory / "conf"
    cluster.mkdir()
    shutil.copy(EXAMPLES / "main.cf", cluster)
    shutil.copy(EXAMPLES / "MetroMirrorTypes.cf", cluster)
    loopback = (EXAMPLES / "loopback.cf").read_text().replace("@LAB@", str(directory))
    loopback = loopback.replace("127.77.", f"127.{loopback_of(directory)}.")
    (directory / "conf-user").mkdir()
    (directory / "conf-user" / "main.cf").write_text(loopback)
    shutil.copy(EXAMPLES / "MetroMirrorTypes.cf", directory / "conf-user")


def _array_config(directory: Path, layout: Layout, array: Host, root: bool) -> str:
    home = host_directory(directory, array.name)
    peer = next(other for other in layout.of(Role.ARRAY) if other is not array)
    peer_address = peer.mirror_address if root else mirror_relay(peer)
    return f"""storage_image = "{array.name}"
directory = "{home / "data"}"
management = "{array.address}:{layout.array_port}"
nbd = "{array.address}:{layout.nbd_port}"
mirror = "{array.mirror_address}:{layout.mirror_port}"
identity = "{home / "tls"}"
users = "{home / "users"}"
store = "{store_url(layout, array.name, root)}"

[peers]
"{peer.name}" = "{peer_address}:{layout.mirror_port}"
"""


def _system_config(directory: Path, layout: Layout, system: Host, root: bool) -> str:
    home = host_directory(directory, system.name)
    own = layout.array_of(system.name)
    arrays = "\n".join(f'"{a.name}" = "{a.address}:{layout.array_port}"' for a in layout.of(Role.ARRAY))
    return f"""name = "{system.name}"
store = "{store_url(layout, system.name, root)}"
run_directory = "{home / "run"}"
heartbeat_interval_s = 0.5
lease_ttl_s = 3.0
margin_s = 0.5

[environment]
PATH = "{directory / "bin"}:{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"
HOLDFAST_IDENTITY = "{home / "tls"}"
HOLDFAST_SYSTEM_CONFIG = "{home / "system.toml"}"
{processes.MARK} = "{processes.mark_of(directory, system.name)}"
HOLDFAST_ARRAY = "{own.address}:{layout.array_port}"
LEDGER_LISTEN = "{system.address}:{layout.ledger_port}"
LEDGER_PID_FILE = "{pid_file(directory, system.name, root)}"

[agents]
plugins = ["holdfast.continuity.agents.metromirror:MetroMirror"]

[plugins]
devices = "holdfast.app.continuity:block_devices"
standings = "holdfast.app.continuity:pair_standings"

[plugins.fences]
"*" = "holdfast.app.continuity:array_fence"

[settings]
system = "{system.name}"
store = "{store_url(layout, system.name, root)}"
identity = "{home / "tls"}"
run_directory = "{home / "run"}"
storage_image = "{own.name}"
nbd = "{own.address}:{layout.nbd_port}"

[settings.arrays]
{arrays}
"""


def _server_config(directory: Path, layout: Layout, server: Host) -> str:
    home = host_directory(directory, server.name)
    return f"""name = "{server.name}"
directory = "{home / "data"}"
address = "{server.address}:{layout.server_port}"
identity = "{home / "tls"}"
"""


def pid_file(directory: Path, host: str, root: bool) -> str:
    """Return where the ledger on a host keeps its process id."""
    return "/run/ledger.pid" if root else str(host_directory(directory, host) / "ledger.pid")
