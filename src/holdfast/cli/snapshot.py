"""``holdfast snapshot``: flash copies of a service group at one point in time, around the running service; and copies
that a file system makes, without an array.

A pair is written ``1260:1360`` at an array; ``btrfs:/srv/data=/srv/copy`` for a subvolume and its snapshot,
``reflink:/srv/db=/srv/db.copy`` for a file and its clone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from holdfast.cli.completion import Names, completer, no_names
from holdfast.cli.frame import emit
from holdfast.continuity.plan.resync import ARRAY, ResyncRequest
from holdfast.kernel.errors import InputError
from holdfast.replication.model.identity import expand_pairs
from holdfast.replication.ports import FlashCopies, Pair

FILE_KINDS = ("btrfs", "reflink")

_RESYNC_HELP = """Move flash copies of a group's volumes to now, around the running service.

The group goes into maintenance, the application stops, file systems are released, all copies get one point in time,
everything comes back. Run it on the system that owns the group.

\b
Example:
  holdfast snapshot resync VCS_Cluster 1260:1360 1261:1361
  holdfast snapshot resync web btrfs:/srv/data=/srv/copy
"""


_SETTLE_HELP = """End what a resync left whose process died: forward if the copies were made, else back.

Every resync does this first; say it when you do not want another one.

\b
Example:
  holdfast snapshot settle VCS_Cluster
"""
_LIST_HELP = """List a group's recovery points, and the resync that is under way or was left unsettled.

\b
Example:
  holdfast snapshot list VCS_Cluster --json
"""


@dataclass(frozen=True, slots=True)
class Wire:
    """The operations behind the commands.

    ``resync(group, request, verify)`` carries the procedure out and returns the recovery point; ``settle(group)`` ends
    what a dead one left, None if nothing; ``listed(group)`` returns recovery points and what is not settled;
    ``copies(kind)`` makes copies in a file system; ``names`` completes groups.
    """

    resync: Callable[[str, ResyncRequest, bool], dict[str, Any]]
    settle: Callable[[str], dict[str, Any] | None]
    listed: Callable[[str], dict[str, Any]]
    copies: Callable[[str], FlashCopies]
    names: Names = no_names


def commands(wire: Wire) -> click.Group:
    """Return the commands of ``holdfast snapshot``."""
    of_group = click.argument("group", shell_complete=completer(wire.names, "store", "group"))

    @click.group("snapshot", help="Cluster-aware flash copies of a service group.")
    def snapshot() -> None:
        """Group only."""

    @snapshot.command("resync", help=_RESYNC_HELP)
    @of_group
    @click.argument("pairs", nargs=-1, required=True)
    @click.option(
        "--min-delay",
        default=0.0,
        metavar="SECONDS",
        help="Refuse sooner than this many seconds after the last resync.",
    )
    @click.option("--force", is_flag=True, help="Ignore --min-delay.")
    @click.option("--verify", is_flag=True, help="Compare the bytes of sources and targets (software array only).")
    @click.option("--json", "as_json", is_flag=True, help="Print the recovery point as JSON.")
    def resync(group: str, pairs: tuple[str, ...], min_delay: float, force: bool, verify: bool, as_json: bool) -> None:
        kind, named = _named(pairs)
        point = wire.resync(group, ResyncRequest(named, min_delay, force, kind), verify)
        emit(point, as_json, _text(point))

    @snapshot.command("settle", help=_SETTLE_HELP)
    @of_group
    @click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
    def settle(group: str, as_json: bool) -> None:
        found = wire.settle(group) or {"group": group, "outcome": "nothing to settle", "point": None}
        emit(found, as_json, f"{group}: {found['outcome']}" + (f"; {_text(found['point'])}" if found["point"] else ""))

    @snapshot.command("list", help=_LIST_HELP)
    @of_group
    @click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
    def listed(group: str, as_json: bool) -> None:
        found = wire.listed(group)
        rows = [f"{_when(point['at'])}  {_text(point)}" for point in found["points"]]
        rows += [f"{_when(one['began'])}  resync by {one['by']}: {one['progress']}" for one in found["unsettled"]]
        emit(found, as_json, "\n".join(rows) or f"{group} has no recovery point")

    _add_copies(snapshot, wire)
    return snapshot


def _add_copies(snapshot: click.Group, wire: Wire) -> None:
    """Add what is done with the copies of a file system, without any group."""

    def add(name: str, text: str, act: Callable[[FlashCopies, Sequence[Pair], bool], None], quiet: bool) -> None:
        example = "btrfs:/srv/data=/srv/copy"

        @snapshot.command(name, help=f"{text}\n\nExample: holdfast snapshot {name} {example}")
        @click.argument("pairs", nargs=-1, required=True)
        @click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
        def command(pairs: tuple[str, ...], as_json: bool, quiet: bool = False) -> None:
            kind, named = _of_files(pairs)
            act(wire.copies(kind), named, quiet)
            done = [{"kind": kind, "source": source, "target": target} for source, target in named]
            emit({"done": name, "copies": done}, as_json, f"{name}: {' '.join(pairs)}")

        if quiet:
            meaning = "Nothing writes the sources meanwhile: several may be copied as of one moment."
            command.params.insert(1, click.Option(("--quiet",), is_flag=True, help=meaning))

    add("make", "Make copies in a file system.", lambda to, pairs, quiet: to.make(pairs, quiet=quiet), True)
    add("renew", "Move copies in a file system to now.", lambda to, pairs, quiet: to.resync(pairs, quiet=quiet), True)
    add("restore", "Give unused sources what their copies hold.", lambda to, pairs, _: to.reverse(pairs), False)
    add("drop", "Remove copies in a file system.", lambda to, pairs, _: to.remove(pairs), False)

    @snapshot.command("show", help="Show copies in a file system.\n\nExample: holdfast snapshot show reflink:/a=/b")
    @click.argument("pairs", nargs=-1, required=True)
    @click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
    def show(pairs: tuple[str, ...], as_json: bool) -> None:
        kind, named = _of_files(pairs)
        found = wire.copies(kind).relations(named)
        times = {pair: int(row.at) / 1e9 for pair, row in found.items()}
        rows = [{"kind": kind, "source": pair[0], "target": pair[1], "at": times.get(pair)} for pair in named]
        emit(rows, as_json, "\n".join(_shown(row) for row in rows))


def _shown(row: Mapping[str, Any]) -> str:
    if row["at"] is None:
        return f"{row['target']} is no copy of {row['source']}"
    return f"{_when(row['at'])}  {row['source']} in {row['target']}"


def _named(texts: Sequence[str]) -> tuple[str, tuple[Pair, ...]]:
    """Return what makes the copies that pairs name, and the pairs. Raises ``InputError`` for a mixture."""
    kinds = {text.partition(":")[0] if text.partition(":")[0] in FILE_KINDS else ARRAY for text in texts}
    if len(kinds) > 1:
        raise InputError("pairs of different kinds", remedy="name those of each kind in a command of its own")
    (kind,) = kinds
    if kind == ARRAY:
        return kind, tuple(pair for text in texts for pair in expand_pairs(text))
    return kind, tuple(_paths(text) for text in texts)


def _of_files(texts: Sequence[str]) -> tuple[str, tuple[Pair, ...]]:
    kind, named = _named(texts)
    if kind == ARRAY:
        remedy = "btrfs:/SUBVOLUME=/COPY or reflink:/FILE=/COPY; those of an array: holdfast flash create"
        raise InputError(f"{texts[0]!r} names no copy in a file system", remedy=remedy)
    return kind, named


def _paths(text: str) -> Pair:
    source, sign, target = text.partition(":")[2].partition("=")
    if not sign or not source or not target or any(letter.isspace() or letter in ":=" for letter in source + target):
        raise InputError(f"{text!r} is not a pair of paths", remedy="write KIND:/source=/copy, without blanks, : or =")
    return source, target


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _text(point: Mapping[str, Any]) -> str:
    away = point["away_seconds"]
    return (
        f"{point['group']}: {' '.join(point['pairs'])} at one point in time, {point['consistency']}; "
        f"{_counted(point)}; "
        + ("interrupted, settled later" if away is None else f"the service was away for {away} s")
    )


def _counted(point: Mapping[str, Any]) -> str:
    if point.get("kind", ARRAY) != ARRAY:
        return "the copies share the blocks of their sources"
    return f"{point['tracks_copied']} of {point['tracks_total']} tracks changed"
