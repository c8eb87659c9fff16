"""Where a system's files lie, and what stands in them: for ``holdfast cluster init``, ``join`` and ``leave``.

All paths hang on one root, ``/`` unless a test or an image says otherwise. ``cluster.json`` is written first and
removed last: a command that was cut off finds in it what it had begun, and goes on when it is asked the same again.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from holdfast.kernel.errors import InputError, Refusal, Refused

CLIENT_PORT, PEER_PORT, ENROLMENT_PORT = 2379, 2380, 2390
HEARTBEAT_MS, ELECTION_MS = 200, 1000
"""An election is called after five heartbeats missed, the fewest that etcd takes; each heartbeat wakes every member."""
TIMER_SLACK_NS = 5_000_000
"""How late etcd's timers may be. Most of what an idle etcd costs are timers, of its own and of Go's runtime, which the
kernel then lets go off together."""
ETCD, SYSTEM = "holdfast-etcd.service", "holdfast-system.service"


def host_port(address: str, port: int) -> str:
    """Return HOST:PORT, with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(frozen=True, slots=True)
class Standing:
    """What this machine is in which cluster. ``store`` names another store than an etcd member of its own."""

    cluster: str
    system: str
    address: str
    store: str = ""
    founder: bool = False
    members: tuple[str, ...] = ()
    """Addresses of the systems with an etcd member, this one first."""

    @property
    def etcd(self) -> bool:
        """Whether an etcd member runs here."""
        return not self.store

    @property
    def peer_url(self) -> str:
        """Where other etcd members reach the one of this machine."""
        return f"https://{host_port(self.address, PEER_PORT)}"


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one machine below ``root``."""

    root: Path

    @property
    def etc(self) -> Path:
        """Everything that is configured."""
        return self.root / "etc/holdfast"

    @property
    def units(self) -> Path:
        """Where systemd looks for units."""
        return self.root / "etc/systemd/system"

    @property
    def authority(self) -> Path:
        """The authority; only on the system that was set up first."""
        return self.etc / "ca"

    def identity(self, what: str) -> Path:
        """The identity of the ``system``, of ``etcd`` or for ``enrolment``."""
        return self.etc / "tls" / what

    @property
    def tokens(self) -> Path:
        """Live tokens, as hashes."""
        return self.etc / "tokens.json"

    @property
    def system_toml(self) -> Path:
        """The system daemon's file."""
        return self.etc / "system.toml"

    @property
    def etcd_env(self) -> Path:
        """The etcd member's settings, as etcd takes them from its environment."""
        return self.etc / "etcd.env"

    @property
    def etcd_data(self) -> Path:
        """The etcd member's data."""
        return self.root / "var/lib/holdfast/etcd"

    @property
    def run(self) -> Path:
        """What does not outlive a boot."""
        return self.root / "run/holdfast"

    @property
    def log(self) -> Path:
        """Logs of what is started without systemd."""
        return self.root / "var/log/holdfast"

    @property
    def standing(self) -> Path:
        """What this machine is; see :class:`Standing`."""
        return self.etc / "cluster.json"

    def store_url(self, standing: Standing) -> str:
        """Return the store's URL for this system: its own member first, the others found by asking."""
        if standing.store:
            return standing.store
        hosts = ",".join(host_port(one, CLIENT_PORT) for one in standing.members or (standing.address,))
        return f"etcd://{hosts}?identity={self.identity('system')}&discover=yes"


def known_standing(places: Places) -> Standing | None:
    """Return what this machine is; None for nothing. Raises :class:`InputError` for a file that cannot be read."""
    try:
        found = json.loads(places.standing.read_text("utf-8"))
        return Standing(**{**found, "members": tuple(found["members"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        remedy = f"if nothing of a cluster is here, remove {places.etc} and begin again"
        raise InputError(f"cannot be read: {error}", file=str(places.standing), remedy=remedy) from error


def keep_standing(places: Places, standing: Standing) -> None:
    """Write down what this machine is."""
    write(places.standing, json.dumps(asdict(standing), indent=2) + "\n")


def insist_same_or_new(places: Places, wished: Standing) -> Standing:
    """Return the standing to go on with: the known one if it is what is wished, else ``wished`` on a clean machine.

    Raises ``Refused`` when this machine is something else already, or holds files of which nothing is known.
    """
    known = known_standing(places)
    if known is None:
        leftover = next((one for one in (places.authority, places.identity("system"), places.etcd_data)
                         if one.exists()), None)  # fmt: skip
        if leftover is not None:
            reason = f"{leftover} is there, but not {places.standing.name}: what it belonged to is not known"
            raise Refused(Refusal("half-known", reason, f"move {leftover} away, then ask again"))
        return wished
    same = replace(known, members=wished.members, founder=wished.founder, cluster=wished.cluster or known.cluster)
    if (known.cluster and same.cluster != known.cluster) or same != replace(wished, cluster=same.cluster):
        reason = f"this machine is {known.system} ({known.address}) of cluster {known.cluster or 'it joins'} already"
        raise Refused(Refusal("other-standing", reason, "ask with the same words, or first: holdfast cluster leave"))
    if known.founder != wished.founder:
        reason = f"this machine {'founded' if known.founder else 'joined'} cluster {known.cluster}"
        raise Refused(Refusal("other-standing", reason, "first: holdfast cluster leave"))
    return known


def write(path: Path, text: str) -> None:
    """Write a file that holds no secret, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, "utf-8")
    fresh.replace(path)


def write_files(places: Places, standing: Standing, initial: Sequence[str]) -> None:
    """Write the daemon's file, the units and, for a member of etcd, its settings. ``initial`` are the members that etcd
    is started with, as NAME=URL; they matter at its first start only."""
    if not places.system_toml.exists() or known_standing(places) != standing:
        write(places.system_toml, system_toml(places, standing))
    for name, text in units(places, standing).items():
        write(places.units / name, text)
    if standing.etcd and initial:
        write(places.etcd_env, etcd_env(places, standing, initial))


def system_toml(places: Places, standing: Standing) -> str:
    """Return the system daemon's file; timing is left to the defaults."""
    return (
        f'name = "{standing.system}"\n'
        f'store = "{places.store_url(standing)}"\n'
        f'run_directory = "{places.run}"\n'
        f'log = "{places.log / "system.log"}"\n'
        f'triggers = "{places.etc / "triggers"}"\n'
    )


def etcd_env(places: Places, standing: Standing, initial: Sequence[str]) -> str:
    """Return etcd's settings: TLS for clients and for peers, and only members of this cluster may be peers."""
    client, host = f"https://{host_port(standing.address, CLIENT_PORT)}", places.identity("etcd")
    values = {
        "NAME": standing.system, "DATA_DIR": places.etcd_data, "LOGGER": "zap", "LOG_LEVEL": "warn",
        "LISTEN_CLIENT_URLS": client, "ADVERTISE_CLIENT_URLS": client,
        "LISTEN_PEER_URLS": standing.peer_url, "INITIAL_ADVERTISE_PEER_URLS": standing.peer_url,
        "INITIAL_CLUSTER": ",".join(initial), "INITIAL_CLUSTER_TOKEN": standing.cluster,
        "INITIAL_CLUSTER_STATE": "new" if standing.founder else "existing",
        "HEARTBEAT_INTERVAL": HEARTBEAT_MS, "ELECTION_TIMEOUT": ELECTION_MS,
        "AUTO_COMPACTION_MODE": "periodic", "AUTO_COMPACTION_RETENTION": "1h",
        "BACKEND_BATCH_INTERVAL": "1s",  # the log is durable at once; this is when its database follows
        "PEER_CERT_ALLOWED_CN": "store:etcd", "PEER_CLIENT_CERT_AUTH": "true", "CLIENT_CERT_AUTH": "true",
    }  # fmt: skip
    for prefix in ("", "PEER_"):
        values |= {f"{prefix}CERT_FILE": host / "cert.pem", f"{prefix}KEY_FILE": host / "key.pem"}
        values |= {f"{prefix}TRUSTED_CA_FILE": host / "ca.pem"}
    # One processor: the members of a cluster wait for disks and for one another, and more only wake each other up.
    return "".join(f"ETCD_{name}={value}\n" for name, value in values.items()) + "GOMAXPROCS=1\n"


def units(places: Places, standing: Standing) -> dict[str, str]:
    """Return the systemd units of this system by file name."""
    etcd = shutil.which("etcd") or "/usr/bin/etcd"
    after = f"After=network-online.target {ETCD if standing.etcd else ''}".rstrip()
    found = {
        SYSTEM: _unit("Holdfast: a system of the cluster", f"{after}\nWants=network-online.target",
                      f"ExecStart={' '.join(system_command(places))}\nKillMode=mixed\nTimeoutStopSec=15min"),
    }  # fmt: skip
    if standing.etcd:
        service = f"Type=notify\nEnvironmentFile={places.etcd_env}\nExecStart={etcd}\nLimitNOFILE=65536\n"
        service += f"TimerSlackNSec={TIMER_SLACK_NS}"
        found[ETCD] = _unit("Holdfast: an etcd member", "After=network-online.target", service)
    return found


def system_command(places: Places) -> list[str]:
    """Return the command line that runs the system daemon under its guard."""
    return [sys.executable, "-m", "holdfast", "system", "run", "--config", str(places.system_toml)]


def _unit(description: str, order: str, service: str) -> str:
    return (
        f"[Unit]\nDescription={description}\n{order}\n\n[Service]\n{service}\nRestart=on-failure\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
