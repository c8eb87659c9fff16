"""The dscli commands about storage itself: volumes, extent pools, volume groups, host connections, the image.

``show…`` prints one object as a stanza, whatever format is in force for lists, as the original does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from holdfast.dialects.dscli import facts, rows
from holdfast.dialects.dscli.acting import Context, Handler, agreed, change, listed, options, volumes
from holdfast.dialects.dscli.grammar import Line, UsageError
from holdfast.dialects.dscli.layout import Row, lay_out
from holdfast.kernel.sizes import GIB
from holdfast.replication.model.identity import expand_volumes

_UNITS = {"ds": float(GIB), "ess": 1e9, "blocks": 512.0}


def size_of(line: Line) -> int:
    """Return ``-cap`` in bytes: 2^30 bytes each, with ``-type blocks`` 512, with ``ess`` 10^9; whole blocks."""
    unit = _UNITS.get(line.get("type", "ds"))
    try:
        cap = float(line.get("cap", "x"))
    except ValueError:
        cap = 0.0
    if unit is None or cap <= 0:
        raise UsageError(line.command, "needs -cap, a number, and a -type of ds, ess or blocks")
    return int(cap * unit) // 512 * 512


def mkfbvol(line: Line, context: Context) -> int:
    """Create volumes. ``#h`` and ``#d`` in -name become the id in hexadecimal and decimal digits."""
    size = size_of(line)
    if not line.get("extpool"):
        raise UsageError("mkfbvol", "needs -extpool")
    code = facts.RC_OK
    for volume in volumes(line):
        name = line.get("name", volume).replace("#h", volume).replace("#d", str(int(volume, 16)))
        more = {"sam": line.get("sam")} if line.has("sam") else {}
        code = code or change(
            line, context, "mkvolume", [volume], size_bytes=size, pool=line.get("extpool"), name=name, **more
        )
    if line.has("volgrp") and code == facts.RC_OK:
        context.array.run("chvolgroup", [line.get("volgrp")], add=volumes(line))
    return code


def chfbvol(line: Line, context: Context) -> int:
    """Enlarge or rename volumes."""
    more: dict[str, Any] = {"size_bytes": size_of(line)} if line.has("cap") else {}
    more |= {"name": line.get("name")} if line.has("name") else {}
    if not more:
        raise UsageError("chfbvol", "needs -cap or -name")
    return change(line, context, "chvolume", volumes(line), **more)


def lsfbvol(line: Line, context: Context) -> int:
    """List volumes, of a subsystem, a pool or a volume group."""
    found = context.array.run("volumes", volumes(line), **options(line, context)).rows
    lss, pool = line.get("lss").upper(), line.get("extpool")
    shown = [row for row in found if (not lss or row["id"][:2] == lss) and (not pool or row["pool"] == pool)]
    if line.has("volgrp"):
        members = _group(context, line.get("volgrp"))["volumes"]
        shown = [row for row in shown if row["id"] in members]
    fullid = context.fullid or line.has("fullid")
    return listed(line, context, facts.LSFBVOL, [rows.fbvol(row, context.array.image, fullid) for row in shown])


def showfbvol(line: Line, context: Context) -> int:
    """Show one volume whole."""
    found = context.array.run("volumes", volumes(line), **options(line, context)).rows
    groups = context.array.run("volgroups").rows
    shown = [rows.one_fbvol(row, groups) for row in found]
    return _show(line, context, facts.SHOWFBVOL, shown)


def rmfbvol(line: Line, context: Context) -> int:
    """Delete volumes."""
    return change(line, context, "rmvolume", agreed(line, context, volumes(line)))


def lssi(line: Line, context: Context) -> int:
    """List the storage image."""
    found = [rows.si(row) for row in context.array.run("info").rows]
    if not line.has("l"):
        return listed(line, context, facts.LSSI, found)
    groups = [row["id"] for row in context.array.run("volgroups").rows]
    group = f"{context.array.image}/{groups[0]}" if groups else "-"
    return listed(line, context, facts.LSSI_LONG, [[*row, group, "-"] for row in found])


def showsi(line: Line, context: Context) -> int:
    """Show the storage image whole."""
    return _show(line, context, facts.LSSI, [rows.si(row) for row in context.array.run("info").rows])


def lsextpool(line: Line, context: Context) -> int:
    """List extent pools."""
    found = _named(context.array.run("pools").rows, line.parameters)
    return listed(line, context, facts.LSEXTPOOL, [rows.extpool(row) for row in found])


def mkextpool(line: Line, context: Context) -> int:
    """Make a pool with a limit: ``-cap`` (an extension: a real pool gets its size from its ranks)."""
    return change(line, context, "mkpool", list(line.parameters), size_bytes=size_of(line))


def chextpool(line: Line, context: Context) -> int:
    """Change a pool's limit."""
    return change(line, context, "chpool", list(line.parameters), size_bytes=size_of(line))


def rmextpool(line: Line, context: Context) -> int:
    """Remove pools that hold no volume."""
    return change(line, context, "rmpool", agreed(line, context, list(line.parameters)))


def lslss(line: Line, context: Context) -> int:
    """List the logical subsystems that hold volumes."""
    counts: dict[str, int] = {}
    for row in context.array.run("volumes").rows:
        counts[row["id"][:2]] = counts.get(row["id"][:2], 0) + 1
    return listed(line, context, facts.LSLSS, [rows.lss(name, count) for name, count in sorted(counts.items())])


# --- who may use what ------------------------------------------------------------------------------------------------


def mkvolgrp(line: Line, context: Context) -> int:
    """Make a volume group of volumes."""
    if len(line.parameters) != 1:
        raise UsageError("mkvolgrp", "needs one name")
    return change(line, context, "mkvolgroup", list(line.parameters), volumes=_listed(line, "volume"))


def chvolgrp(line: Line, context: Context) -> int:
    """Add volumes to a group, or take them out."""
    action, named = line.get("action", "add"), _listed(line, "volume")
    if action not in ("add", "remove") or not named:
        raise UsageError("chvolgrp", "needs -action add or remove, and -volume")
    return change(line, context, "chvolgroup", list(line.parameters), **{action: named})


def lsvolgrp(line: Line, context: Context) -> int:
    """List volume groups."""
    found = _named(context.array.run("volgroups").rows, line.parameters)
    return listed(line, context, facts.LSVOLGRP, [[row["name"], row["id"], "SCSI Mask"] for row in found])


def showvolgrp(line: Line, context: Context) -> int:
    """Show a volume group with its volumes."""
    found = _named(context.array.run("volgroups").rows, line.parameters)
    shown: list[Row] = [[row["name"], row["id"], "SCSI Mask", " ".join(row["volumes"])] for row in found]
    return _show(line, context, [*facts.LSVOLGRP, "Vols"], shown)


def rmvolgrp(line: Line, context: Context) -> int:
    """Remove volume groups."""
    return change(line, context, "rmvolgroup", agreed(line, context, list(line.parameters)))


def mkhostconnect(line: Line, context: Context) -> int:
    """Let a host see the volumes of a group. Its name stands where a real array has a WWPN."""
    more = {"volgroup": line.get("volgrp")} if line.has("volgrp") else {}
    return change(line, context, "mkhost", list(line.parameters), **more)


def chhostconnect(line: Line, context: Context) -> int:
    """Give a host another volume group."""
    if not line.has("volgrp"):
        raise UsageError("chhostconnect", "needs -volgrp")
    return change(line, context, "chhost", list(line.parameters), volgroup=line.get("volgrp"))


def lshostconnect(line: Line, context: Context) -> int:
    """List host connections."""
    found = _named(context.array.run("hosts").rows, line.parameters)
    if line.has("volgrp"):
        found = [row for row in found if row["volgroup"] == line.get("volgrp")]
    return listed(line, context, facts.LSHOSTCONNECT, [rows.hostconnect(row) for row in found])


def rmhostconnect(line: Line, context: Context) -> int:
    """Remove host connections."""
    return change(line, context, "rmhost", agreed(line, context, list(line.parameters)))


def _listed(line: Line, option: str) -> list[str]:
    words = line.get(option).replace(",", " ").split()
    return [volume for word in words for volume in expand_volumes(word)]


def _named(found: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    wanted = {name.upper() for name in names}
    return [row for row in found if not wanted or str(row["id"]).upper() in wanted]


def _group(context: Context, name: str) -> dict[str, Any]:
    found = _named(context.array.run("volgroups").rows, [name])
    return found[0] if found else {"volumes": []}


def _show(line: Line, context: Context, columns: Sequence[str], found: list[Row]) -> int:
    if not line.parameters and line.command != "showsi":
        raise UsageError(line.command, "names nothing to show")
    if not found:
        context.fail(f"{facts.OTHER_FAILURE} {line.command}: {' '.join(line.parameters)} does not exist")
        return facts.RC_SERVER
    for text in lay_out(columns, found, replace(context.layout, format="stanza")):
        context.out(text)
    return facts.RC_OK


HANDLERS: dict[str, Handler] = {
    one.__name__: one
    for one in (
        *(mkfbvol, chfbvol, lsfbvol, showfbvol, rmfbvol, lssi, showsi, lslss),
        *(lsextpool, mkextpool, chextpool, rmextpool),
        *(mkvolgrp, chvolgrp, lsvolgrp, showvolgrp, rmvolgrp),
        *(mkhostconnect, chhostconnect, lshostconnect, rmhostconnect),
    )
}
"""Command → handler."""
