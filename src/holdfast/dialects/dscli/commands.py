"""The dscli commands: what each asks of the array and what it prints. No command decides anything about copies.

Every handler gets the parsed line and a context and returns the exit code. One object's failure is an ``E`` line on
the error stream; the other objects still get their ``I`` line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from holdfast.dialects.dscli import facts, rows
from holdfast.dialects.dscli.grammar import Line, UsageError
from holdfast.dialects.dscli.layout import Layout, Row, lay_out
from holdfast.kernel.errors import InputError, Refused
from holdfast.kernel.sizes import GIB
from holdfast.replication.model.identity import expand_pairs, expand_volumes, parse_volume

WAIT_LIMIT_S = 900.0
_WAIT_STEP_S = 0.1


class Array(Protocol):
    """What the commands need of an array's client."""

    image: str

    def run(self, verb: str, objects: list[str] | None = None, timeout_s: float = 30.0, **options: Any) -> Any:
        """Send one command."""


@dataclass(slots=True)
class Context:
    """Where a command runs: the array, how to print, how to ask, and the ids in force."""

    array: Array
    layout: Layout
    out: Callable[[str], None]
    fail: Callable[[str], None]
    ask: Callable[[str], str]
    fullid: bool = False
    remote: str = ""


Handler = Callable[[Line, Context], int]


def _list(line: Line, context: Context, columns: Sequence[str], found: list[Row]) -> int:
    if not found:
        context.out(f"{facts.EMPTY} {line.command}: {facts.NOTHING[line.command]}")
        return facts.RC_OK
    if line.has("s"):
        index = list(columns).index("ID") if "ID" in columns else 0
        columns, found = [columns[index]], [[row[index]] for row in found]
    for text in lay_out(columns, found, context.layout):
        context.out(text)
    return facts.RC_OK


def _options(line: Line, context: Context, **more: Any) -> dict[str, Any]:
    options: dict[str, Any] = dict(more)
    if line.has("dev"):
        options["dev"] = line.get("dev")
    remote = line.get("remotedev") or context.remote
    if remote:
        options["remote"] = remote
    return options


def _pairs(line: Line) -> list[str]:
    found = [f"{source}:{target}" for word in line.parameters for source, target in expand_pairs(_bare(word))]
    if not found:
        raise UsageError(line.command, "names no pair")
    return found


def _bare(word: str) -> str:
    return ":".join(part.rsplit("/", 1)[-1] for part in word.split(":"))


def _volumes(line: Line) -> list[str]:
    return [volume for word in line.parameters for volume in expand_volumes(word)]


def _change(line: Line, context: Context, verb: str, objects: list[str], **options: Any) -> int:
    """Run a change, print one line per object."""
    answer = context.array.run(verb, objects, **_options(line, context, **options))
    code = facts.RC_OK
    ident, text = facts.DONE[line.command]
    for outcome in answer.outcomes:
        if outcome.code:
            context.fail(failure(line.command, outcome.object, outcome.code, outcome.reason, outcome.remedy))
            code = facts.RC_SERVER
        else:
            context.out(f"{ident} {line.command}: {text.format(outcome.object)}")
    return code


def failure(command: str, name: str, code: str, reason: str, remedy: str = "") -> str:
    """Return the ``E`` line of a refused object."""
    ident = facts.FAILURES.get(code, facts.OTHER_FAILURE)
    hint = f" ({remedy})" if remedy else ""
    subject = f"{name}: " if name else ""
    return f"{ident} {command}: {subject}Copy Services operation failure: {reason}{hint}"


def _agreed(line: Line, context: Context, objects: list[str]) -> list[str]:
    """Ask for each object unless -quiet; return those to go on with."""
    if line.has("quiet"):
        return objects
    ident, text = facts.PROMPTS[line.command]
    return [name for name in objects if context.ask(f"{ident} {line.command}: {text.format(name)}").lower() == "y"]


# --- volumes ---------------------------------------------------------------------------------------------------------


def mkfbvol(line: Line, context: Context) -> int:
    """Create volumes; ``-cap`` is in 2^30 bytes, with ``-type blocks`` in 512-byte blocks, with ``ess`` in 10^9."""
    kind = line.get("type", "ds")
    unit = {"ds": float(GIB), "ess": 1e9, "blocks": 512.0}.get(kind)
    try:
        cap = float(line.get("cap", "x"))
    except ValueError:
        cap = 0.0
    if unit is None or cap <= 0 or not line.get("extpool"):
        raise UsageError("mkfbvol", "needs -extpool, -cap and a -type of ds, ess or blocks")
    size = int(cap * unit) // 512 * 512
    code = facts.RC_OK
    for volume in _volumes(line):
        name = line.get("name", volume).replace("#h", volume).replace("#d", str(int(volume, 16)))
        done = _change(line, context, "mkvolume", [volume], size_bytes=size, pool=line.get("extpool"), name=name)
        code = code or done
    return code


def lsfbvol(line: Line, context: Context) -> int:
    """List volumes."""
    found = context.array.run("volumes", _volumes(line), **_options(line, context)).rows
    lss, pool = line.get("lss").upper(), line.get("extpool")
    shown = [row for row in found if (not lss or row["id"][:2] == lss) and (not pool or row["pool"] == pool)]
    fullid = context.fullid or line.has("fullid")
    return _list(line, context, facts.LSFBVOL, [rows.fbvol(row, context.array.image, fullid) for row in shown])


def rmfbvol(line: Line, context: Context) -> int:
    """Delete volumes."""
    return _change(line, context, "rmvolume", _agreed(line, context, _volumes(line)))


def lssi(line: Line, context: Context) -> int:
    """List the storage image."""
    return _list(line, context, facts.LSSI, [rows.si(row) for row in context.array.run("info").rows])


# --- FlashCopy -------------------------------------------------------------------------------------------------------


def flash(line: Line, context: Context) -> int:
    """``mkflash``, ``resyncflash`` and ``reverseflash``."""
    options = {name: line.has(name) for name in ("persist", "record", "tgtinhibit", "freeze")}
    if line.has("seqnum"):
        options["seqnum"] = line.get("seqnum")  # type: ignore[assignment]
    return _change(line, context, line.command, _pairs(line), copy=not line.has("nocp"), **options)


def lsflash(line: Line, context: Context) -> int:
    """List FlashCopy relations."""
    found = context.array.run("flashes", **_options(line, context)).rows
    names = {_bare(word).upper() for word in line.parameters if ":" in word}
    volumes = {volume for word in line.parameters if ":" not in word for volume in expand_volumes(word)}
    tests = {"record": "recording", "persist": "persistent", "cp": "background_copy"}
    if line.parameters:
        found = [r for r in found if r["id"] in names or r["source"] in volumes or r["target"] in volumes]
    for option, key in tests.items():
        if line.has(option):
            found = [row for row in found if row[key]]
    long, fullid = line.has("l"), context.fullid or line.has("fullid")
    columns = facts.LSFLASH_LONG if long else facts.LSFLASH
    return _list(line, context, columns, [rows.flash(row, context.array.image, long, fullid) for row in found])


def rmflash(line: Line, context: Context) -> int:
    """Withdraw FlashCopy relations."""
    return _change(line, context, "rmflash", _agreed(line, context, _pairs(line)), copy=line.has("cp"))


# --- Metro Mirror ----------------------------------------------------------------------------------------------------


def _metro(line: Line) -> None:
    if line.get("type", "mmir") != "mmir":
        raise UsageError(line.command, "only -type mmir is supported by this array")


def mkpprc(line: Line, context: Context) -> int:
    """Establish pairs."""
    _metro(line)
    code = _change(line, context, "mkpair", _pairs(line), copy=line.get("mode", "full") != "nocp")
    return code or _wait(line, context)


def restart(line: Line, context: Context) -> int:
    """``resumepprc`` and ``failbackpprc``."""
    _metro(line)
    code = _change(line, context, line.command.removesuffix("pprc"), _pairs(line))
    return code or _wait(line, context)


def failoverpprc(line: Line, context: Context) -> int:
    """Make targets writable. ``-force`` (an extension) accepts the loss of what only the other array holds."""
    _metro(line)
    return _change(line, context, "failover", _pairs(line), force=line.has("force"))


def pausepprc(line: Line, context: Context) -> int:
    """Suspend pairs."""
    return _change(line, context, "pause", _pairs(line))


def rmpprc(line: Line, context: Context) -> int:
    """End pairs."""
    agreed = _agreed(line, context, _pairs(line))
    return _change(line, context, "rmpair", agreed, unconditional=line.has("unconditional"))


def _wait(line: Line, context: Context) -> int:
    """With -wait: return when no named pair is copying any more."""
    if not line.has("wait"):
        return facts.RC_OK
    names, deadline = set(_pairs(line)), time.monotonic() + WAIT_LIMIT_S
    while time.monotonic() < deadline:
        found = [row for row in context.array.run("pairs").rows if row["id"] in names]
        if all("Copy Pending" not in row["state"] for row in found):
            return facts.RC_OK
        time.sleep(_WAIT_STEP_S)
    context.fail(f"{facts.OTHER_FAILURE} {line.command}: the copy did not end within {WAIT_LIMIT_S:.0f} s")
    return facts.RC_SERVER


def lspprc(line: Line, context: Context) -> int:
    """List pairs by pair, volume, range or LSS."""
    found = context.array.run("pairs", **_options(line, context)).rows
    wanted = [_wanted(word) for word in line.parameters]
    if wanted:
        found = [row for row in found if any(test(row) for test in wanted)]
    state = line.get("state").lower()
    if state:
        found = [row for row in found if row["state"].lower().replace(" ", "-") == state]
    remote = line.get("remotedev")
    if remote:
        found = [row for row in found if remote in (row["source"][: len(remote)], row["target"][: len(remote)])]
    long, fullid = line.has("l"), context.fullid or line.has("fullid")
    columns = facts.LSPPRC_LONG if long else facts.LSPPRC
    return _list(line, context, columns, [rows.pprc(row, long, fullid) for row in found])


def _wanted(word: str) -> Callable[[dict[str, Any]], bool]:
    bare = _bare(word).upper()
    if ":" in bare:
        names = {f"{source}:{target}" for source, target in expand_pairs(bare)}
        return lambda row: row["id"] in names
    if "-" in bare:
        low, _, high = bare.partition("-")
        return lambda row: low <= row["local"] <= high
    if len(bare) == 2:
        return lambda row: row["local"][:2] == bare
    volume = parse_volume(bare)
    return lambda row: row["local"] == volume


# --- consistency groups ----------------------------------------------------------------------------------------------


def freezepprc(line: Line, context: Context) -> int:
    """Hold the writes of a source subsystem and suspend its pairs."""
    return _change(line, context, "freeze", _subsystems(line))


def thaw(line: Line, context: Context) -> int:
    """``unfreezepprc`` and ``unfreezeflash``: let held writes go."""
    return _change(line, context, "thaw", _subsystems(line))


def _subsystems(line: Line) -> list[str]:
    if not line.parameters:
        raise UsageError(line.command, "names no logical subsystem")
    return list(line.parameters)


# --- paths -----------------------------------------------------------------------------------------------------------


def lspprcpath(line: Line, context: Context) -> int:
    """List the paths of source subsystems."""
    names = [word.partition(":")[0].rpartition("/")[2].upper() for word in line.parameters]
    found = context.array.run("lsspaths", names, **_options(line, context)).rows
    return _list(line, context, facts.LSPPRCPATH, [rows.path(row) for row in found])


def mkpprcpath(line: Line, context: Context) -> int:
    """Make a path between two subsystems; the ports are kept for the list."""
    if not line.has("srclss") or not line.has("tgtlss"):
        raise UsageError("mkpprcpath", "needs -srclss and -tgtlss")
    name = f"{line.get('srclss')}:{line.get('tgtlss')}"
    return _change(
        line, context, "mkpath", [name], consistgrp=line.has("consistgrp"), ports=list(line.parameters) or None
    )


def rmpprcpath(line: Line, context: Context) -> int:
    """Remove paths."""
    return _change(line, context, "rmpath", _agreed(line, context, _subsystems(line)))


HANDLERS: dict[str, Handler] = {
    "mkfbvol": mkfbvol,
    "lsfbvol": lsfbvol,
    "rmfbvol": rmfbvol,
    "lssi": lssi,
    "mkflash": flash,
    "resyncflash": flash,
    "reverseflash": flash,
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
