"""The dscli commands about copies: what each asks of the array and what it prints. No command decides anything.

Every handler gets the parsed line and a context and returns the exit code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.dialects.dscli import facts, hardware, rows, storage
from holdfast.dialects.dscli.acting import (
    Context,
    Handler,
    agreed,
    bare,
    change,
    failure,
    listed,
    options,
    pairs,
    volumes,
)
from holdfast.dialects.dscli.grammar import Line, UsageError
from holdfast.kernel.errors import InputError, Refusal, Refused
from holdfast.replication.model.identity import expand_pairs, expand_volumes, parse_subsystem, parse_volume

WAIT_LIMIT_S = 900.0
_WAIT_STEP_S = 0.1


# --- FlashCopy -------------------------------------------------------------------------------------------------------


def flash(line: Line, context: Context) -> int:
    """``mkflash``, ``resyncflash`` and ``reverseflash``."""
    wishes: dict[str, Any] = {name: line.has(name) for name in ("persist", "record", "tgtinhibit", "freeze")}
    wishes |= {name: line.get(name) for name in ("seqnum", "pmir") if line.has(name)}
    wishes |= {name: True for name in ("tgtpprc", "multinc", "tgtse", "fast") if line.has(name)}
    if line.has("cp") and line.has("nocp"):
        raise UsageError(line.command, "-cp and -nocp exclude each other")
    code = change(line, context, line.command, pairs(line), copy=not line.has("nocp"), **wishes)
    return code or _wait_for_copies(line, context)


def _wait_for_copies(line: Line, context: Context) -> int:
    """With -wait: return when no named copy is made in the background any more."""
    names = set(pairs(line))

    def copying(row: dict[str, Any]) -> bool:
        named = row["id"] in names or f"{row['target']}:{row['source']}" in names
        return named and row["background_copy"] and row["state"] == "Valid" and row["out_of_sync_tracks"] > 0

    return _wait(line, context, "flashes", copying)


def revertible(line: Line, context: Context) -> int:
    """``setflashrevertible`` takes pairs, ``commitflash`` and ``revertflash`` take source volumes."""
    numbered = {"seqnum": line.get("seqnum")} if line.has("seqnum") else {}
    if line.command == "setflashrevertible":
        return change(line, context, "setrevertible", pairs(line), **numbered)
    sources = volumes(line)
    if not sources:
        raise UsageError(line.command, "names no source volume")
    return change(line, context, line.command, sources, **numbered)


def lsflash(line: Line, context: Context) -> int:
    """List FlashCopy relations."""
    found = context.array.run("flashes", **options(line, context)).rows
    tests = {"record": "recording", "persist": "persistent", "cp": "background_copy", "revertible": "revertible"}
    wanted = [_wanted(part) for word in line.parameters for part in word.split(",")]
    if wanted:
        found = [row for row in found if any(test(row["id"], (row["source"], row["target"])) for test in wanted)]
    for option, key in tests.items():
        if line.has(option):
            found = [row for row in found if row[key]]
    if line.has("activecp"):
        found = [row for row in found if row["background_copy"] and row["out_of_sync_tracks"]]
    long, fullid = line.has("l"), context.fullid or line.has("fullid")
    columns = facts.LSFLASH_LONG if long else facts.LSFLASH
    targets = sorted({row["target"] for row in found}) if long else []
    known = context.array.run("volumes", targets).rows if targets else []
    thin = {row["id"] for row in known if row["thin"]}
    image = context.array.image
    return listed(line, context, columns, [rows.flash(row, image, long, fullid, thin) for row in found])


def rmflash(line: Line, context: Context) -> int:
    """Withdraw FlashCopy relations."""
    numbered = {"seqnum": line.get("seqnum")} if line.has("seqnum") else {}
    return change(line, context, "rmflash", agreed(line, context, pairs(line)), copy=line.has("cp"), **numbered)


# --- Metro Mirror ----------------------------------------------------------------------------------------------------


def _metro(line: Line) -> None:
    if line.get("type", "mmir") != "mmir":
        raise UsageError(line.command, "only -type mmir is supported by this array")
    if line.get("mode", "full") not in ("full", "nocp"):
        raise UsageError(line.command, "-mode must be full or nocp")
    if line.has("cascade"):
        reason = "a mirror of a mirror's target is not supported by this array"
        raise Refused(Refusal("mirror-cascade", reason, "leave out -cascade"))


def _modes(line: Line) -> dict[str, Any]:
    return {name: True for name in ("critmode", "tgtread", "suspend") if line.has(name)}


def _end(line: Line) -> dict[str, Any]:
    at = {"at": line.get("at")} if line.has("at") else {}
    return at | ({"unconditional": True} if line.has("unconditional") else {})


def mkpprc(line: Line, context: Context) -> int:
    """Establish pairs."""
    _metro(line)
    code = change(line, context, "mkpair", pairs(line), copy=line.get("mode", "full") != "nocp", **_modes(line))
    return code or _wait_for_pairs(line, context)


def restart(line: Line, context: Context) -> int:
    """``resumepprc`` and ``failbackpprc``."""
    _metro(line)
    code = change(line, context, line.command.removesuffix("pprc"), pairs(line), **_modes(line))
    return code or _wait_for_pairs(line, context)


def failoverpprc(line: Line, context: Context) -> int:
    """Make targets writable. ``-force`` (an extension) accepts the loss of what only the other array holds."""
    _metro(line)
    return change(line, context, "failover", pairs(line), force=line.has("force"))


def pausepprc(line: Line, context: Context) -> int:
    """Suspend pairs."""
    return change(line, context, "pause", pairs(line), **_end(line))


def rmpprc(line: Line, context: Context) -> int:
    """End pairs."""
    return change(line, context, "rmpair", agreed(line, context, pairs(line)), **_end(line))


def _wait_for_pairs(line: Line, context: Context) -> int:
    """With -wait: return when no named pair is copying any more."""
    names = set(pairs(line))
    return _wait(line, context, "pairs", lambda row: row["id"] in names and "Copy Pending" in row["state"])


def _wait(line: Line, context: Context, query: str, busy: Callable[[dict[str, Any]], bool]) -> int:
    if not line.has("wait"):
        return facts.RC_OK
    deadline = time.monotonic() + WAIT_LIMIT_S
    while time.monotonic() < deadline:
        if not any(busy(row) for row in context.array.run(query).rows):
            return facts.RC_OK
        time.sleep(_WAIT_STEP_S)
    context.fail(f"{facts.OTHER_FAILURE} {line.command}: the copy did not end within {WAIT_LIMIT_S:.0f} s")
    return facts.RC_SERVER


def lspprc(line: Line, context: Context) -> int:
    """List pairs by pair, volume, range or LSS."""
    found = context.array.run("pairs", **options(line, context)).rows
    wanted = [_wanted(part) for word in line.parameters for part in word.split(",")]
    if wanted:
        found = [row for row in found if any(test(row["id"], (row["local"],)) for test in wanted)]
    state = line.get("state").lower()
    if state and state not in facts.PAIR_STATES:
        raise UsageError("lspprc", f"-state must be one of {', '.join(facts.PAIR_STATES)}")
    if state:
        found = [row for row in found if row["state"].lower().replace(" ", "-") == state]
    remote = line.get("remotedev")
    if remote:
        found = [row for row in found if remote in (row["source"][: len(remote)], row["target"][: len(remote)])]
    long, fullid = line.has("l"), context.fullid or line.has("fullid")
    columns = facts.LSPPRC_LONG if long else facts.LSPPRC
    return listed(line, context, columns, [rows.pprc(row, long, fullid) for row in found])


def _wanted(word: str) -> Callable[[str, Sequence[str]], bool]:
    """Whether a pair, with its volumes at this array, is named by a pair, a range, a subsystem or a volume."""
    named = bare(word).upper()
    if ":" in named:
        names = {f"{source}:{target}" for source, target in expand_pairs(named)}
        return lambda pair, _: pair in names
    if "-" in named:
        low, _, high = named.partition("-")
        expand_volumes(f"{low}-{high}")  # refuses what is no range
        return lambda _, here: any(low <= volume <= high for volume in here)
    if len(named) == 2:
        lss = parse_subsystem(named)
        return lambda _, here: any(volume[:2] == lss for volume in here)
    wanted = parse_volume(named)
    return lambda _, here: wanted in here


# --- consistency groups ----------------------------------------------------------------------------------------------


def freezepprc(line: Line, context: Context) -> int:
    """Hold the writes of a source subsystem and suspend its pairs."""
    return change(line, context, "freeze", _subsystems(line))


def thaw(line: Line, context: Context) -> int:
    """``unfreezepprc`` and ``unfreezeflash``: let held writes go."""
    return change(line, context, "thaw", _subsystems(line))


def _subsystems(line: Line) -> list[str]:
    if not line.parameters:
        raise UsageError(line.command, "names no logical subsystem")
    return list(line.parameters)


# --- paths -----------------------------------------------------------------------------------------------------------


def lspprcpath(line: Line, context: Context) -> int:
    """List the paths of source subsystems."""
    names = [word.partition(":")[0].rpartition("/")[2].upper() for word in line.parameters]
    found = context.array.run("lsspaths", names, **options(line, context)).rows
    return listed(line, context, facts.LSPPRCPATH, [rows.path(row) for row in found])


def mkpprcpath(line: Line, context: Context) -> int:
    """Make a path between two subsystems; the ports are kept for the list."""
    if not line.has("srclss") or not line.has("tgtlss"):
        raise UsageError("mkpprcpath", "needs -srclss and -tgtlss")
    name = f"{line.get('srclss')}:{line.get('tgtlss')}"
    return change(
        line, context, "mkpath", [name], consistgrp=line.has("consistgrp"), ports=list(line.parameters) or None
    )


def rmpprcpath(line: Line, context: Context) -> int:
    """Remove paths."""
    return change(line, context, "rmpath", agreed(line, context, _subsystems(line)))


HANDLERS: dict[str, Handler] = {
    **storage.HANDLERS,
    **hardware.HANDLERS,
    "mkflash": flash,
    "resyncflash": flash,
    "reverseflash": flash,
    "setflashrevertible": revertible,
    "commitflash": revertible,
    "revertflash": revertible,
    "lsflash": lsflash,
    "rmflash": rmflash,
    "mkpprc": mkpprc,
    "lspprc": lspprc,
    "rmpprc": rmpprc,
    "pausepprc": pausepprc,
    "resumepprc": restart,
    "failoverpprc": failoverpprc,
    "failbackpprc": restart,
    "freezepprc": freezepprc,
    "unfreezepprc": thaw,
    "unfreezeflash": thaw,
    "mkpprcpath": mkpprcpath,
    "lspprcpath": lspprcpath,
    "rmpprcpath": rmpprcpath,
}
"""Command → handler. ``setenv`` and ``managepwfile`` belong to the session."""


def execute(line: Line, context: Context) -> int:
    """Run one command that talks to the array."""
    try:
        return HANDLERS[line.command](line, context)
    except InputError as error:
        raise UsageError(line.command, error.message) from error
    except Refused as refused:
        refusal = refused.refusal
        context.fail(failure(line.command, "", refusal.code, refusal.reason, refusal.remedy))
        return facts.RC_LOGIN if refusal.code == "bad-login" else facts.RC_SERVER
