"""From the array's rows to dscli's rows: columns as in ``facts``, values as the original writes them. Pure."""

from __future__ import annotations

import time
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


def fbvol(row: Fields, image: str, fullid: bool) -> Row:
    """One row of ``lsfbvol``."""
    size = row["size_bytes"]
    state = ("Online", "Normal", "Normal", "2107-900", "FB 512")
    name = f"{image}/{row['id']}" if fullid else row["id"]
    return [row["name"], name, *state, row["pool"], size / GIB, size / 1e9, size // 512]


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
    tail = [lss, "60", "Disabled", "Invalid"]
    if not long:
        return [*head, *tail]
    suspended = stamp(row["since"]) if "Suspended" in row["state"] else "-"
    more = [row["out_of_sync_tracks"], "Disabled", "Disabled", "Invalid", suspended]
    return [*head, *more, *tail, "Disabled", "Disabled", "Disabled", "Disabled", "Unknown", "-"]


def flash(row: Fields, image: str, long: bool, fullid: bool) -> Row:
    """One row of ``lsflash``."""
    name = f"{image}/{row['source']}:{row['target']}" if fullid else row["id"]
    copying = row["background_copy"] and row["out_of_sync_tracks"] > 0
    basic: list[str | int | float] = [
        *(name, row["source"][:2], row["sequence"], "60", _on(copying), _on(row["recording"])),
        *(_on(row["persistent"]), "Disabled", "Enabled", _on(not row["target_inhibited"]), _on(row["background_copy"])),
    ]
    if not long:
        return basic
    times = (stamp(row["created"]), stamp(row["synced"]))
    return [*basic, row["out_of_sync_tracks"], *times, "Valid", "Disabled", "-"]


def path(row: Fields) -> Row:
    """One row of ``lspprcpath``: the first pair of ports stands for all."""
    port, _, attached = str(row["ports"][0]).partition(":")
    return [row["source_lss"], row["target_lss"], row["state"], facts.PATH_SS, port, attached, wwnn(row["peer"])]


def _on(value: bool) -> str:
    return "Enabled" if value else "Disabled"
