"""The array's commands as pure functions: the image now and a request in, the image after and fresh bitmaps out.

Each function checks every rule of ``copy-services`` before it builds anything and raises
:class:`~holdfast.kernel.errors.Refused` with a stable code, so a refused command changes nothing. A bitmap that starts
anew gets a new name from the image's counter: the image is the single switch between before and after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from holdfast.kernel.errors import Refusal, Refused
from holdfast.replication.array.bitmap import FULL, Bitmap
from holdfast.replication.array.machine import Change, Machine
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import TRANSITIONS, Pair, PairEvent, Phase, Role, Standing
from holdfast.replication.model.paths import Path
from holdfast.replication.model.volumes import ArrayImage, Volume


def refuse(code: str, reason: str, remedy: str = "") -> Refused:
    """Return the refusal to raise."""
    return Refused(Refusal(code, reason, remedy))


def find_volume(image: ArrayImage, volume: str) -> Volume:
    """Return the volume. Refuses when there is none."""
    found = image.volumes.get(volume)
    if found is None:
        raise refuse("no-volume", f"volume {volume} does not exist on {image.image}", "list volumes with lsfbvol")
    return found


def find_pair(image: ArrayImage, volume: str, remote: Endpoint | None = None) -> Pair:
    """Return the pair of a local volume. Refuses when there is none, or when it is another pair than ``remote``'s."""
    pair = image.pairs.get(volume)
    if pair is None or (remote is not None and pair.remote != remote):
        other = f" with {remote}" if remote else ""
        raise refuse("no-pair", f"volume {volume} is not in a remote copy pair{other}", "list pairs with lspprc")
    return pair


# --- Metro Mirror ----------------------------------------------------------------------------------------------------


def check_pairable(machine: Machine, volume: str, role: Role, peer_size_bytes: int | None = None) -> Volume:
    """Check that a volume may enter a new pair in that role. Refuses with the reason."""
    image = machine.image
    found = find_volume(image, volume)
    pair = image.pairs.get(volume)
    if pair is not None and pair.standing.role is not role:
        reason = f"volume {volume} is the {pair.standing.role.value} of a pair with {pair.remote}"
        raise refuse("cascade", f"{reason}: this array does not cascade", "rmpprc that pair, or mirror from its source")
    if pair is not None:
        raise refuse("paired", f"volume {volume} is already in a remote copy pair", "remove that pair with rmpprc")
    check_mirrorable(machine, volume, role)
    if role is Role.TARGET and peer_size_bytes is not None and found.size_bytes < peer_size_bytes:
        raise refuse("target-small", f"volume {volume} is smaller than its source", "name a target at least as large")
    return found


def check_mirrorable(machine: Machine, volume: str, role: Role) -> None:
    """Check that a volume's FlashCopy relations allow it in a pair in that role: a FlashCopy target is overwritten by
    nobody else, and is a mirror source only with ``-tgtpprc``; a revertible relation lets nothing be written."""
    flash = machine.image.flashes.get(volume)
    if flash is not None and (role is Role.TARGET or not flash.options.onto_source):
        remedy = "withdraw the FlashCopy relation first" + (", or give it -tgtpprc" if role is Role.SOURCE else "")
        raise refuse("flash-target", f"volume {volume} is a FlashCopy target", remedy)
    if any(one.revertible for one in machine.flashes_of(volume)):
        raise refuse("revertible", f"volume {volume} is in a revertible FlashCopy", "commitflash or revertflash first")


def add_pair(
    machine: Machine,
    volume: str,
    remote: Endpoint,
    role: Role,
    *,
    copy: bool,
    now: float,
    generation: int = 0,
    critical: bool = False,
    target_read: bool = False,
) -> Change:
    """Add a pair that is copying; ``copy=False`` trusts that the data are equal already."""
    found = check_pairable(machine, volume, role)
    number = machine.image.sequence + 1
    bits = Bitmap.full(found.tracks) if copy and role is Role.SOURCE else Bitmap(found.tracks)
    pair = Pair(
        volume,
        remote,
        Standing(role, Phase.COPY_PENDING),
        f"pair-{volume}-{number}{FULL if bits.base else ''}",
        generation,
        since=now,
        tracks_total=found.tracks,
        tracks_to_copy=len(bits),
        critical=critical,
        target_read=target_read,
    )
    image = replace(machine.image, pairs={**machine.image.pairs, volume: pair}, sequence=number)
    return Change(image, {pair.bits: bits})


def pair_events(
    machine: Machine, events: Mapping[str, PairEvent], now: float, generations: Mapping[str, int] | None = None
) -> Change:
    """Carry out one event per local volume, all in one step. Refuses when the table has no such transition.

    ``generations`` gives the record's generation for the volumes where it is known anew.
    """
    image = machine.image
    pairs, number = dict(image.pairs), image.sequence
    fresh: dict[str, Bitmap] = {}
    for volume, event in events.items():
        pair = find_pair(image, volume)
        after = TRANSITIONS.get((pair.standing.role, pair.standing.phase, event))
        if after is None:
            raise refuse(
                "pair-state",
                f"pair of volume {volume} is {pair.standing.display}: {event.value} is not allowed now",
                "list the pair with lspprc",
            )
        bits = machine.bits[pair.bits]
        generation = (generations or {}).get(volume, pair.generation)
        made = replace(pair, standing=after, since=now, superseded=False, generation=generation)
        if event is PairEvent.SYNCED:
            number += 1
            made = replace(made, bits=f"pair-{volume}-{number}", tracks_copied=machine.copied.get(volume, 0))
            fresh[made.bits] = Bitmap(bits.size)
        if after.phase is Phase.COPY_PENDING:
            made = replace(made, tracks_total=bits.size, tracks_to_copy=len(bits), tracks_copied=0)
        pairs[volume] = made
    return Change(replace(image, pairs=pairs, sequence=number), fresh)


def supersede(machine: Machine, volumes: list[str], now: float) -> Change:
    """The store names the other end as source: refuse every host write from now on."""
    pairs = dict(machine.image.pairs)
    for volume in volumes:
        pairs[volume] = replace(pairs[volume], superseded=True, since=now)
    return Change(replace(machine.image, pairs=pairs), {})


def set_modes(machine: Machine, volumes: list[str], critical: bool | None, target_read: bool | None) -> Change:
    """Give pairs another critical mode and another permission to read the target; None leaves them as they are."""
    pairs = dict(machine.image.pairs)
    for volume in volumes:
        pair = pairs[volume]
        pairs[volume] = replace(
            pair,
            critical=pair.critical if critical is None else critical,
            target_read=pair.target_read if target_read is None else target_read,
        )
    return Change(replace(machine.image, pairs=pairs), {})


def remove_pairs(machine: Machine, volumes: list[str]) -> Change:
    """End pairs: the volumes are simplex."""
    for volume in volumes:
        find_pair(machine.image, volume)
    left = {key: value for key, value in machine.image.pairs.items() if key not in volumes}
    return Change(replace(machine.image, pairs=left), {})


# --- paths -----------------------------------------------------------------------------------------------------------


def make_path(machine: Machine, path: Path) -> Change:
    """Make a path, or replace what an earlier command said of it."""
    image = machine.image
    return Change(replace(image, paths={**image.paths, path.key: path}), {})


def remove_path(machine: Machine, path: Path, *, force: bool) -> Change:
    """Remove a path; it stays known as removed. Refuses one whose pairs still mirror, unless ``force``."""
    image = machine.image
    known = image.paths.get(path.key)
    busy = [pair for pair in pairs_of_path(image, path) if pair.standing.phase is not Phase.SUSPENDED]
    if busy and not force:
        raise refuse("in-use", f"the pair of volume {busy[0].local} uses the path", "pausepprc or rmpprc first")
    if (known is None and not busy) or (known is not None and known.removed):
        raise refuse("no-path", f"there is no path {path.source_lss}:{path.target_lss} to {path.remote}", "lspprcpath")
    return Change(replace(image, paths={**image.paths, path.key: replace(known or path, removed=True)}), {})


def need_path(machine: Machine, volume: str, remote: Endpoint) -> Change | None:
    """Check that a pair of these volumes has a path. Returns the change that makes it where the array makes paths
    itself, None when it is there. Refuses where it must be made by hand."""
    path = machine.path_of(volume, remote)
    if path is not None and not path.removed:
        return None
    if path is not None or machine.features.explicit_paths:
        here, there = f"{machine.image.image}/{volume[:2]}", f"{remote.image}/{remote.volume[:2]}"
        raise refuse("no-path", f"there is no path from {here} to {there}", "make it with mkpprcpath")
    return make_path(machine, Path(remote.image, volume[:2], remote.volume[:2]))


def paths_of(machine: Machine, subsystems: set[str], peers: Iterable[str]) -> list[Path]:
    """Return the paths from these source subsystems (all known ones when none is named). Where the array makes paths
    itself, a named subsystem has one to its namesake at each peer, unless that was removed."""
    known = machine.image.paths
    found = [path for path in known.values() if not path.removed and (not subsystems or path.source_lss in subsystems)]
    if machine.features.explicit_paths:
        return found
    implied = [Path(peer, lss, lss) for peer in peers for lss in sorted(subsystems)]
    return found + [path for path in implied if path.key not in known]


def pairs_of_path(image: ArrayImage, path: Path) -> list[Pair]:
    """Return the pairs that have their source here and use the path."""
    ends = (path.source_lss, path.target_lss)
    return [
        pair
        for pair in image.pairs.values()
        if pair.standing.role is Role.SOURCE
        and pair.remote.image == path.remote
        and (pair.local[:2], pair.remote.volume[:2]) == ends
    ]
