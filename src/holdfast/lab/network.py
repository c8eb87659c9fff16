"""The network of a lab with root: a bridge per site, one between them, and a line of its own for the mirror.

Everything stands inside the lab's network namespace, so nothing of the machine's own network is touched and all of it
goes when the lab's first process ends::

    hosta hostb 75FA120 DELHI          hostc hostd 75FA150 TOKYO
        └─── site1 ───┘                    └─── site2 ───┘
                 └──────── wan ────────────────┘
                      witness   client          75FA120 ═══ mirror ═══ 75FA150
"""

from __future__ import annotations

import subprocess

from holdfast.continuity.model.sites import Host, Link
from holdfast.kernel.errors import HoldfastError

EYES_ADDRESS = "10.77.0.1"
"""Where the drill itself stands: between the sites, so that a site that is cut off is out of its sight too."""
_BRIDGES = ("wan", "site1", "site2", "mirror")


def create_backbone() -> None:
    """Make the bridges and the links between them, inside the lab's network namespace."""
    lines = ["link set lo up"]
    for bridge in _BRIDGES:
        lines += [f"link add {bridge} type bridge forward_delay 0", f"link set {bridge} up"]
    lines.append(f"address add {EYES_ADDRESS}/24 dev wan")
    for site in ("site1", "site2"):
        lines += [
            f"link add {site}-wan type veth peer name wan-{site}",
            f"link set {site}-wan master {site} up",
            f"link set wan-{site} master wan up",
        ]
    _ip(lines)


def connect(host: Host, pid: int, number: int) -> None:
    """Give the network namespace of process ``pid`` its addresses: ``eth0`` on its bridge, ``mir0`` if it mirrors."""
    bridge = f"site{host.site}" if host.site else "wan"
    outside = [f"link add h{number} type veth peer name eth0 netns {pid}", f"link set h{number} master {bridge} up"]
    inside = ["link set lo up", f"address add {host.address}/24 dev eth0", "link set eth0 up"]
    if host.mirror_address:
        outside += [
            f"link add m{number} type veth peer name mir0 netns {pid}",
            f"link set m{number} master mirror up",
        ]
        inside += [f"address add {host.mirror_address}/24 dev mir0", "link set mir0 up"]
    _ip(outside)
    _ip(inside, pid)


def disconnect(host: Host, number: int) -> None:
    """Take a host's devices away at once, as when its power fails; its kernel answers nobody any more."""
    _ip([f"link del h{number}", *([f"link del m{number}"] if host.mirror_address else [])])


def set_link(link: Link, up: bool) -> None:
    """Cut or mend a link: packets are lost silently, as on a broken line."""
    device = {Link.MIRROR: "mirror", Link.SITE1: "wan-site1", Link.SITE2: "wan-site2"}[link]
    _ip([f"link set {device} {'up' if up else 'down'}"])


def set_route_to(pid: int, address: str, reachable: bool) -> None:
    """Cut one host (by a process of its namespace) from one address, or mend that."""
    _ip([f"route {'del' if reachable else 'add'} blackhole {address}/32"], pid)


def _ip(lines: list[str], pid: int | None = None) -> None:
    command = ["ip", "-batch", "-"] if pid is None else ["nsenter", "-n", "-t", str(pid), "ip", "-batch", "-"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise HoldfastError(f"the lab's network cannot be made: {done.stderr.strip()}", "is iproute2 installed?")
