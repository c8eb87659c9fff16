"""From the array's rows to dscli's rows: columns as in ``facts``, values as the original writes them. Pure."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from holdfast.dialects.dscli import facts
from holdfast.dialects.dscli.layout import Row
from holdfast.kernel.sizes import GIB

Fields = dict[str, Any]


def stamp(seconds: float) -> str:
    """Return a time as lists show it, for example ``Thu Sep 18 23:04:04 CEST 2014``."""
    return time.strftime("%a %b %d %H:%M:%S %Z %Y", time.localtime(seconds)) if seconds else "-"


def wwnn(image: str) -> str:
    """Return the world-wide node name that stands for an image: the same at every call, made of its serial number."""
    return "500507630" + image.rpartition("-")[2].lower().encode().hex()[-7:].upper()


def wwpn(image: str, port: str) -> str:
    """Return the world-wide port name that stands for a port: the image's node name with the port's number in it."""
    node = wwnn(image)
    return node[:9] + port[-3:].rjust(3, "0") + node[12:]


def fbvol(row: Fields, image: str, fullid: bool) -> Row:
    """One row of ``lsfbvol``."""
    size = row["size_bytes"]
    state = ("Online", "Normal", "Normal", "2107-900", "FB 512")
    name = f"{image}/{row['id']}" if fullid else row["id"]
    return [row["name"], name, *state, row["pool"], size / GIB, size / 1e9, size // 512]


def one_fbvol(row: Fields, groups: list[Fields]) -> Row:
    """One volume as ``showfbvol`` shows it."""
    size, state = row["size_bytes"], ("Online", "Normal", "Normal", "2107-900", "FB 512")
    sam = "ESE" if row["thin"] else "Standard"
    member = " ".join(group["id"] for group in groups if row["id"] in group["volumes"]) or "-"
    caps: list[str | int | float] = [size / GIB, size / 1e9, size // 512, row["allocated_bytes"]]
    return [row["name"], row["id"], *state, row["pool"], sam, row["tracks"], *caps, member, _on(row["writable"])]


def extpool(row: Fields) -> Row:
    """One row of ``lsextpool``; a pool without a limit has no end."""
    limit, used = row["limit_bytes"], row["used_bytes"]
    left = "-" if limit is None else max(0, limit - used) / GIB
    share = "-" if not limit else min(100, used * 100 // limit)
    state = "below" if not limit or used < limit else "exceeded"
    extents = "-" if limit is None else max(0, limit - used) // GIB
    return [row["id"], row["id"], "fb", 0, state, left, share, extents, 0, row["volumes"]]


def lss(name: str, count: int) -> Row:
    """One row of ``lslss``."""
    return [name, int(name, 16) % 2, name[0], "fb", count]


def hostconnect(row: Fields) -> Row:
    """One row of ``lshostconnect``; the host's name stands for its WWPN."""
    return [row["host"], row["id"], row["host"], "LinuxRHEL", "Intel - Linux RHEL", 0, row["volgroup"] or "-", "all"]


def si(row: Fields) -> Row:
    """One row of ``lssi``."""
    image = row["image"]
    unit = image[:-1] + "0" if image.endswith("1") else image
    return [f"holdfast_{image.rpartition('-')[2]}", image, unit, "9A2", wwnn(image), "Online", "Enabled"]


def pprc(row: Fields, long: bool, fullid: bool) -> Row:
    """One row of ``lspprc``."""
    name = f"{row['source']}:{row['target']}" if fullid else row["id"]
    lss = row["id"][:2]
    reason = facts.SUPERSEDED if row["write_inhibited"] else row["reason"]
    head = [name, row["state"], reason, "Metro Mirror"]
    tail = [lss, "60", _on(row["critmode"]), "Invalid"]
    if not long:
        return [*head, *tail]
    suspended = stamp(row["since"]) if "Suspended" in row["state"] else "-"
    more = [row["out_of_sync_tracks"], _on(row["tgtread"]), "Disabled", "Invalid", suspended]
    return [*head, *more, *tail, "Disabled", "Disabled", "Disabled", "Disabled", "Unknown", "-"]


def flash(row: Fields, image: str, long: bool, fullid: bool, thin: Collection[str] = ()) -> Row:
    """One row of ``lsflash``; ``thin``: the volumes that take only what is written to them."""
    name = f"{image}/{row['source']}:{row['target']}" if fullid else row["id"]
    copying = row["background_copy"] and row["out_of_sync_tracks"] > 0
    basic: list[str | int | float] = [
        *(name, row["source"][:2], row["sequence"], "60", _on(copying), _on(row["recording"])),
        *(_on(row["persistent"]), _on(row["revertible"]), _on(not row["source_inhibited"])),
        *(_on(not row["target_inhibited"]), _on(row["background_copy"])),
    ]
    if not long:
        return basic
    times = (stamp(row["created"]), stamp(row["synced"]))
    return [
        *basic,
        row["out_of_sync_tracks"],
        *times,
        row["state"],
        "Disabled",
        "ESE" if row["target"] in thin else "-",
    ]


def path(row: Fields) -> Row:
    """One row of ``lspprcpath``: the first pair of ports stands for all."""
    port, _, attached = str(row["ports"][0]).partition(":")
    return [row["source_lss"], row["target_lss"], row["state"], facts.PATH_SS, port, attached, wwnn(row["peer"])]


def _on(value: bool) -> str:
    return "Enabled" if value else "Disabled"
