"""The dscli commands about what an array is built of. A software array has ports, in name, and no disks.

Lists of disks, ranks and arrays of disks say that there are none, which is true. Commands for what this array cannot do
are known and refused with the reason, so that a runbook that needs them fails where it is rehearsed.
"""

from __future__ import annotations

from holdfast.dialects.dscli import facts, rows
from holdfast.dialects.dscli.acting import Context, Handler, failure, listed, options
from holdfast.dialects.dscli.grammar import Line, UsageError
from holdfast.dialects.dscli.layout import Row
from holdfast.kernel.errors import Refusal, Refused
from holdfast.replication.model.identity import parse_subsystem
from holdfast.replication.model.paths import DEFAULT_PORTS


def _ports(context: Context) -> list[tuple[str, str]]:
    """The pairs of ports that paths go over: those that paths name, else the usual ones."""
    named = [str(port) for row in context.array.run("lsspaths").rows for port in row["ports"]]
    pairs = sorted({*named, *DEFAULT_PORTS})
    return [(port.partition(":")[0], port.partition(":")[2]) for port in pairs]


def lsioport(line: Line, context: Context) -> int:
    """List the ports that paths use."""
    context.array.run("info", **options(line, context))
    names = sorted({port for port, _ in _ports(context)})
    wanted = [name for name in names if not line.parameters or name in line.parameters]
    shown: list[Row] = [[name, rows.wwpn(context.array.image, name), *facts.PORT] for name in wanted]
    return listed(line, context, facts.LSIOPORT, shown)


def lsavailpprcport(line: Line, context: Context) -> int:
    """List the pairs of ports over which a subsystem can reach one of a peer."""
    if not line.has("remotedev") or len(line.parameters) != 1 or ":" not in line.parameters[0]:
        raise UsageError(line.command, "needs -remotedev and one pair of subsystems, source:target")
    for name in line.parameters[0].split(":"):
        parse_subsystem(name)
    peers = [row["peer"] for row in context.array.run("paths", **options(line, context)).rows]
    if line.get("remotedev") not in peers:
        reason = f"{line.get('remotedev')} is not a configured peer"
        raise Refused(Refusal("no-peer", reason, f"peers: {', '.join(peers) or 'none'}"))
    return listed(line, context, facts.LSAVAILPPRCPORT, [[here, there, "FCP"] for here, there in _ports(context)])


def nothing(line: Line, context: Context) -> int:
    """Lists of what a software array does not have."""
    context.array.run("info", **options(line, context))
    return listed(line, context, (), [])


def unsupported(line: Line, context: Context) -> int:
    """Commands that this array knows and cannot carry out."""
    context.fail(failure(line.command, "", "unsupported", facts.UNSUPPORTED[line.command]))
    return facts.RC_SERVER


HANDLERS: dict[str, Handler] = {
    "lsioport": lsioport,
    "lsavailpprcport": lsavailpprcport,
    **dict.fromkeys(facts.WITHOUT, nothing),
    **dict.fromkeys(facts.UNSUPPORTED, unsupported),
}
"""Command → handler."""
