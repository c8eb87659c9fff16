"""Who is where: the two sites of the drill, their hosts, addresses and links, as plain values.

With root every host has an address of its own on a stretched network of the lab; without, every host has an address of
its own in a part of 127.0.0.0/8, where all processes of the machine may listen. Labs side by side use different parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

GROUP = "VCS_Cluster"
MIRROR_RESOURCE = "ora_mmir"
NODE = "VCSSHARE"
MIRRORED = ("1260", "1261")
FLASH_TARGETS = ("1360", "1361")
MOUNT_POINTS = ("/VCS", "/VCS1")
VOLUME_BYTES = 64 * 1024 * 1024


class Role(StrEnum):
    """What a host of the lab does."""

    SYSTEM = "system"
    ARRAY = "array"
    SERVER = "server"
    WITNESS = "witness"
    CLIENT = "client"


class Link(StrEnum):
    """What the lab can cut."""

    MIRROR = "mirror"
    SITE1 = "site1"
    SITE2 = "site2"


@dataclass(frozen=True, slots=True)
class Host:
    """One host: its name, what it does, its site (0: neither), its address, its mirror address if it has one.

    A spare host has no power until somebody gives it some.
    """

    name: str
    role: Role
    site: int
    address: str
    mirror_address: str = ""
    spare: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """All hosts of a lab and the addresses that move."""

    hosts: tuple[Host, ...]
    group_address: str
    ledger_port: int = 7000
    array_port: int = 7501
    nbd_port: int = 10809
    mirror_port: int = 7200
    store_port: int = 7400
    server_port: int = 1543
    store: str = "embedded"
    """What keeps the cluster's state at the witness: ``embedded`` (a SQLite file, served) or ``etcd``."""

    @property
    def ledger_addresses(self) -> tuple[str, ...]:
        """Where clients look for the ledger: on the group's address, or without one on each system's own."""
        if self.group_address:
            return (f"{self.group_address}:{self.ledger_port}",)
        return tuple(f"{host.address}:{self.ledger_port}" for host in self.of(Role.SYSTEM))

    def host(self, name: str) -> Host:
        """Return the host called ``name``."""
        return next(host for host in self.hosts if host.name == name)

    def of(self, role: Role, site: int | None = None) -> tuple[Host, ...]:
        """Return the hosts of a role, of one site if given."""
        return tuple(host for host in self.hosts if host.role is role and site in (None, host.site) and not host.spare)

    def array_of(self, system: str) -> Host:
        """Return the array that a system is attached to: the one of its site."""
        return self.of(Role.ARRAY, self.host(system).site)[0]


ARRAYS = ("IBM.2107-75FA120", "IBM.2107-75FA150")


def layout(root: bool, loopback: int = 77, store: str = "embedded") -> Layout:
    """Return the layout of a lab with namespaces (``root``) or of one in 127.``loopback``.0.0/16."""
    net, mirror = ("10.77.0.", "10.78.0.") if root else (f"127.{loopback}.0.", f"127.{loopback}.8.")
    return Layout(
        hosts=(
            Host("hosta", Role.SYSTEM, 1, net + "11"),
            Host("hostb", Role.SYSTEM, 1, net + "12"),
            Host("hostc", Role.SYSTEM, 2, net + "13"),
            Host("hostd", Role.SYSTEM, 2, net + "14"),
            Host(ARRAYS[0], Role.ARRAY, 1, net + "21", mirror + "21"),
            Host(ARRAYS[1], Role.ARRAY, 2, net + "22", mirror + "22"),
            Host("DELHI", Role.SERVER, 1, net + "31"),
            Host("TOKYO", Role.SERVER, 2, net + "32"),
            Host("DELHI-2", Role.SERVER, 2, net + "33", spare=True),
            Host("witness", Role.WITNESS, 0, net + "41"),
            Host("client", Role.CLIENT, 0, net + "51"),
        ),
        group_address=net + "100" if root else "",
        store=store,
    )
