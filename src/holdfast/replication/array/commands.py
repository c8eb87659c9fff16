"""The array's commands as pure functions: the image now and a request in, the image after and fresh bitmaps out.

Each function checks every rule of ``copy-services`` before it builds anything and raises
:class:`~holdfast.kernel.errors.Refused` with a stable code, so a refused command changes nothing. A bitmap that starts
anew gets a new name from the image's counter: the image is the single switch between before and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from holdfast.kernel.errors import Refusal, Refused
from holdfast.replication.array.bitmap import Bitmap
from holdfast.replication.array.machine import Change, Machine
from holdfast.replication.model.flash import Flash, FlashOptions
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import TRANSITIONS, Pair, PairEvent, Phase, Role, Standing
from holdfast.replication.model.volumes import ArrayImage, Volume

TARGETS_PER_SOURCE = 12


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


# --- volumes ---------------------------------------------------------------------------------------------------------


def create_volume(machine: Machine, volume: Volume) -> Change:
    """Add a volume. Refuses an id in use."""
    image = machine.image
    if volume.id in image.volumes:
        raise refuse("exists", f"volume {volume.id} already exists", "choose an id that lsfbvol does not list")
    if volume.size_bytes <= 0 or volume.size_bytes % 512:
        raise refuse("bad-size", f"{volume.size_bytes} bytes is not a positive number of 512-byte blocks")
    return Change(replace(image, volumes={**image.volumes, volume.id: volume}), {})


def remove_volume(machine: Machine, volume: str) -> Change:
    """Remove a volume. Refuses one that is in a copy relation."""
    image = machine.image
    find_volume(image, volume)
    if volume in image.pairs or machine.flashes_of(volume):
        raise refuse("in-relation", f"volume {volume} is in a copy relation", "remove the relation first")
    return Change(replace(image, volumes={k: v for k, v in image.volumes.items() if k != volume}), {})


def revoke(machine: Machine, host: str, key: int) -> Change:
    """Bar every key of ``host`` up to ``key``; the image's counter numbers the confirmation."""
    image = machine.image
    barred = {**image.barred, host: max(key, image.barred.get(host, -1))}
    return Change(replace(image, barred=barred, sequence=image.sequence + 1), {})


# --- FlashCopy -------------------------------------------------------------------------------------------------------


def make_flash(machine: Machine, source: str, target: str, options: FlashOptions, now: float) -> Change:
    """Establish a relation whose point in time is now."""
    image = machine.image
    original, copy = find_volume(image, source), find_volume(image, target)
    existing = image.flashes.get(target)
    if existing is not None:
        raise refuse(
            "flash-state", f"volume {target} already is the target of {existing.source}", "use resyncflash or rmflash"
        )
    if source == target or copy.size_bytes < original.size_bytes:
        raise refuse("flash-size", f"volume {target} cannot hold a copy of {source}", "name a target of the same size")
    if any(flash.source == target for flash in image.flashes.values()) or source in image.flashes:
        raise refuse("cascade", "a volume cannot be source and target of FlashCopy at once", "withdraw the other copy")
    if target in image.pairs:
        raise refuse("target-paired", f"volume {target} is in a remote copy pair", "choose a target outside pairs")
    siblings = [flash for flash in image.flashes.values() if flash.source == source]
    if len(siblings) >= TARGETS_PER_SOURCE:
        raise refuse("too-many", f"volume {source} already has {TARGETS_PER_SOURCE} targets", "withdraw one")
    if options.record and any(flash.options.record for flash in siblings):
        raise refuse("second-record", f"volume {source} already has a recording relation", "leave out -record")
    uncopied = Bitmap.full(original.tracks)
    return _with_flash(image, Flash(source, target, options, "", created=now), uncopied, now)


def resync_flash(machine: Machine, source: str, target: str, options: FlashOptions, now: float) -> Change:
    """Move the relation's point in time to now: only tracks changed on either side since are copied."""
    flash = find_flash(machine.image, source, target)
    if not flash.source_changed:
        raise refuse(
            "not-recording", f"pair {source}:{target} does not record changes", "rmflash, then mkflash -record -persist"
        )
    uncopied = Bitmap(machine.bits[flash.uncopied].size)
    for name in (flash.uncopied, flash.source_changed, flash.target_changed):
        if name:
            uncopied.merge(machine.bits[name])
    return _with_flash(machine.image, replace(flash, options=options), uncopied, now)


def reverse_flash(machine: Machine, source: str, target: str, options: FlashOptions, now: float) -> Change:
    """Turn a recording relation around: the source gets what the target holds, and only what differs is copied. From
    then on the relation is ``target:source``."""
    image = machine.image
    flash = find_flash(image, source, target)
    if not flash.source_changed:
        raise refuse("not-recording", f"pair {source}:{target} does not record changes", "mkflash -record -persist")
    if len(machine.bits[flash.uncopied]):
        raise refuse(
            "flash-state", f"pair {source}:{target} is still being copied", "wait until lsflash shows 0 tracks"
        )
    if image.volumes[source].size_bytes != image.volumes[target].size_bytes:
        raise refuse(
            "flash-size", f"volumes {source} and {target} differ in size", "only equal ones can be turned round"
        )
    if len(machine.flashes_of(source)) > 1:
        raise refuse("cascade", f"volume {source} has other copies", "withdraw them first")
    if source in image.pairs:
        raise refuse("target-paired", f"volume {source} is in a remote copy pair", "remove the pair first")
    uncopied = Bitmap(machine.bits[flash.uncopied].size)
    for name in filter(None, (flash.source_changed, flash.target_changed)):
        uncopied.merge(machine.bits[name])
    left = {key: value for key, value in image.flashes.items() if key != target}
    turned = Flash(target, source, options, "", created=now)
    return _with_flash(replace(image, flashes=left), turned, uncopied, now)


def find_flash(image: ArrayImage, source: str, target: str) -> Flash:
    """Return the relation. Refuses when there is none."""
    flash = image.flashes.get(target)
    if flash is None or flash.source != source:
        raise refuse("no-flash", f"there is no FlashCopy pair {source}:{target}", "list relations with lsflash")
    return flash


def _with_flash(image: ArrayImage, flash: Flash, uncopied: Bitmap, now: float) -> Change:
    number = image.sequence + 1
    fresh = {f"uncopied-{flash.target}-{number}": uncopied}
    source_changed = target_changed = ""
    if flash.options.record:
        source_changed = f"source-{flash.target}-{number}"
        fresh[source_changed] = Bitmap(uncopied.size)
        if not flash.options.target_inhibit:
            target_changed = f"target-{flash.target}-{number}"
            fresh[target_changed] = Bitmap(uncopied.size)
    made = replace(
        flash,
        uncopied=f"uncopied-{flash.target}-{number}",
        source_changed=source_changed,
        target_changed=target_changed,
        synced=now,
        tracks_total=uncopied.size,
        tracks_to_copy=len(uncopied),
    )
    return Change(replace(image, flashes={**image.flashes, flash.target: made}, sequence=number), fresh)


def remove_flash(machine: Machine, source: str, target: str) -> Change:
    """Withdraw a relation; tracks that were not copied yet stay as the target's file has them."""
    find_flash(machine.image, source, target)
    left = {key: value for key, value in machine.image.flashes.items() if key != target}
    return Change(replace(machine.image, flashes=left), {})


def finish_flash(machine: Machine, target: str) -> Change | None:
    """Let a relation vanish whose copy is complete, unless it is persistent. None: nothing to do."""
    flash = machine.image.flashes.get(target)
    if flash is None or flash.options.persistent or len(machine.bits[flash.uncopied]):
        return None
    return remove_flash(machine, flash.source, target)


# --- Metro Mirror ----------------------------------------------------------------------------------------------------


def check_pairable(machine: Machine, volume: str, role: Role, peer_size_bytes: int | None = None) -> Volume:
    """Check that a volume may enter a new pair in that role. Refuses with the reason."""
    image = machine.image
    found = find_volume(image, volume)
    if volume in image.pairs:
        raise refuse("paired", f"volume {volume} is already in a remote copy pair", "remove that pair with rmpprc")
    if volume in image.flashes:
        raise refuse("flash-target", f"volume {volume} is a FlashCopy target", "withdraw the FlashCopy relation first")
    if role is Role.TARGET and peer_size_bytes is not None and found.size_bytes < peer_size_bytes:
        raise refuse("target-small", f"volume {volume} is smaller than its source", "name a target at least as large")
    return found


def add_pair(
    machine: Machine, volume: str, remote: Endpoint, role: Role, *, copy: bool, now: float, generation: int = 0
) -> Change:
    """Add a pair that is copying; ``copy=False`` trusts that the data are equal already."""
    found = check_pairable(machine, volume, role)
    number = machine.image.sequence + 1
    bits = Bitmap.full(found.tracks) if copy and role is Role.SOURCE else Bitmap(found.tracks)
    pair = Pair(
        volume,
        remote,
        Standing(role, Phase.COPY_PENDING),
        f"pair-{volume}-{number}",
        generation,
        since=now,
        tracks_total=found.tracks,
        tracks_to_copy=len(bits),
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
                "pair-state", f"pair of volume {volume} is {pair.standing.display}: {event.value} is not allowed now"
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


def remove_pairs(machine: Machine, volumes: list[str]) -> Change:
    """End pairs: the volumes are simplex."""
    for volume in volumes:
        find_pair(machine.image, volume)
    left = {key: value for key, value in machine.image.pairs.items() if key not in volumes}
    return Change(replace(machine.image, pairs=left), {})
