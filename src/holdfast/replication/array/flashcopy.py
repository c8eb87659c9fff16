"""FlashCopy's commands as pure functions: the image now and a request in, the image after and fresh bitmaps out.

Every rule of section 6 of ``copy-services`` is checked before anything is built. What a command does to the target's
bytes is said by the new relation's ``uncopied`` bitmap alone; where the target is the source of a mirror, the same
tracks are marked in the pair's bitmap, so that the mirror carries the new point in time to the other array.
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.replication.array.bitmap import FULL, Bitmap
from holdfast.replication.array.commands import find_volume, refuse
from holdfast.replication.array.machine import Change, Machine
from holdfast.replication.model.flash import FLASH_TRANSITIONS, Flash, FlashEvent, FlashOptions, FlashState, Tracks
from holdfast.replication.model.pairs import Pair, Phase, Role
from holdfast.replication.model.volumes import ArrayImage

TARGETS_PER_SOURCE = 12
"""How many targets a source has at most [S]."""
_NOT_RECORDING = "give mkflash -record -persist"


def find_flash(image: ArrayImage, source: str, target: str) -> Flash:
    """Return the relation. Refuses when there is none."""
    flash = image.flashes.get(target)
    if flash is None or flash.source != source:
        raise refuse("no-flash", f"there is no FlashCopy pair {source}:{target}", "list relations with lsflash")
    return flash


def step(machine: Machine, source: str, target: str, event: FlashEvent) -> Flash:
    """Return the relation to which ``event`` happens. Refuses what the table of states does not have."""
    flash = find_flash(machine.image, source, target)
    state = flash.state(len(machine.bits[flash.uncopied]))
    if (state, event) in FLASH_TRANSITIONS:
        return flash
    name = f"pair {source}:{target}"
    if event in (FlashEvent.COMMIT, FlashEvent.REVERT):
        raise refuse("not-revertible", f"{name} is not revertible", "use setflashrevertible")
    if state is FlashState.REVERTIBLE:
        raise refuse("revertible", f"{name} is revertible", "commitflash or revertflash first")
    if state is FlashState.INVALID:
        raise refuse("flash-failed", f"the copy {name} is invalid: {flash.failed}", "rmflash, make room, mkflash")
    raise refuse("flash-state", f"{name} is still being copied", "wait until lsflash shows 0, or give -fast")


# --- points in time --------------------------------------------------------------------------------------------------


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
    if any(flash.source == target for flash in image.flashes.values()):
        raise refuse("cascade", f"volume {target} is the source of another FlashCopy", "withdraw that copy first")
    if source in image.flashes and not machine.features.cascading:
        raise refuse(
            "cascade",
            f"volume {source} is a FlashCopy target",
            "withdraw that copy, or allow cascades with `flash_cascading` in the array's configuration",
        )
    _check_source(machine, source)
    check_target(machine, target, options)
    siblings = [flash for flash in image.flashes.values() if flash.source == source]
    if len(siblings) >= TARGETS_PER_SOURCE:
        raise refuse("too-many", f"volume {source} already has {TARGETS_PER_SOURCE} targets", "withdraw one")
    if options.record and not options.several and any(flash.options.record for flash in siblings):
        raise refuse("second-record", f"volume {source} already has a recording relation", "give -multinc")
    uncopied = Bitmap.full(original.tracks)
    return _with_flash(machine, image, Flash(source, target, options, "", created=now), uncopied, now)


def resync_flash(machine: Machine, source: str, target: str, options: FlashOptions, now: float) -> Change:
    """Move the relation's point in time to now: only tracks changed on either side since are copied."""
    flash = _changeable(machine, source, target, FlashEvent.RESYNC)
    if not flash.source_changed:
        raise refuse("not-recording", f"pair {source}:{target} does not record changes", f"rmflash, {_NOT_RECORDING}")
    check_target(machine, target, options)
    turned = replace(flash, options=options)
    return _with_flash(machine, machine.image, turned, _differing(machine, flash, uncopied=True), now)


def reverse_flash(machine: Machine, source: str, target: str, options: FlashOptions, now: float) -> Change:
    """Turn a recording relation around: the source gets what the target holds, and only what differs is copied. From
    then on the relation is ``target:source``."""
    flash = _reversible(machine, source, target, options, FlashEvent.REVERSE)
    if not flash.source_changed:
        raise refuse("not-recording", f"pair {source}:{target} does not record changes", _NOT_RECORDING)
    return _turned(machine, flash, _differing(machine, flash, uncopied=False), options, now)


def fast_reverse_flash(machine: Machine, source: str, target: str, options: FlashOptions, now: float) -> Change:
    """``reverseflash -fast``: restore the source although its copy is not complete.

    A track that was never copied has not changed, so it stays. The target lacks these tracks: its content is of no use
    afterwards, and the relation ends with the restore.
    """
    flash = _reversible(machine, source, target, options, FlashEvent.FAST_REVERSE)
    uncopied = machine.bits[flash.uncopied]
    if len(uncopied) and options.persistent:
        raise refuse(
            "flash-state",
            f"the copy {target} is not complete: after a fast restore its content is of no use",
            "leave out -persist and -record",
        )
    if flash.source_changed:
        restored = _differing(machine, flash, uncopied=False)
    else:
        restored = Bitmap.full(uncopied.size)
        for track in uncopied:
            restored.clear(track)
    return _turned(machine, flash, restored, options, now)


def _reversible(machine: Machine, source: str, target: str, options: FlashOptions, event: FlashEvent) -> Flash:
    image, flash = machine.image, _changeable(machine, source, target, event)
    if image.volumes[source].size_bytes != image.volumes[target].size_bytes:
        raise refuse(
            "flash-size", f"volumes {source} and {target} differ in size", "only equal ones can be turned round"
        )
    if len(machine.flashes_of(source)) > 1:
        raise refuse("cascade", f"volume {source} has other copies", "withdraw them first")
    check_target(machine, source, options)
    return flash


def _turned(machine: Machine, flash: Flash, uncopied: Bitmap, options: FlashOptions, now: float) -> Change:
    left = {key: value for key, value in machine.image.flashes.items() if key != flash.target}
    turned = Flash(flash.target, flash.source, options, "", created=now)
    return _with_flash(machine, replace(machine.image, flashes=left), turned, uncopied, now)


def _differing(machine: Machine, flash: Flash, *, uncopied: bool) -> Bitmap:
    """Return the tracks in which the two volumes may differ."""
    found = Bitmap(machine.bits[flash.uncopied].size)
    for name in flash.tracks.names:
        if uncopied or name != flash.uncopied:
            found.merge(machine.bits[name])
    return found


# --- commit and revert -----------------------------------------------------------------------------------------------


def set_revertible(machine: Machine, source: str, target: str, now: float) -> Change:
    """``setflashrevertible``: move the point in time to now and keep the earlier one, until commit or revert.

    Neither volume takes writes meanwhile, so both points in time stay whole without a byte being copied.
    """
    flash = _changeable(machine, source, target, FlashEvent.SET_REVERTIBLE)
    if not flash.source_changed:
        raise refuse("not-recording", f"pair {source}:{target} does not record changes", _NOT_RECORDING)
    for volume in (source, target):
        pair = machine.image.pairs.get(volume)
        if pair is not None and (pair.standing.role is Role.TARGET or volume == target):
            raise refuse("target-paired", f"volume {volume} is in a mirror that still writes to it", "remove the pair")
    fresh = replace(flash, earlier=flash.tracks, earlier_synced=flash.synced)
    return _with_flash(machine, machine.image, fresh, _differing(machine, flash, uncopied=True), now)


def commit_flash(machine: Machine, source: str, target: str) -> Change:
    """``commitflash``: the earlier point in time is given up; the copy goes on."""
    flash = step(machine, source, target, FlashEvent.COMMIT)
    return replaced(machine.image, replace(flash, earlier=None, earlier_synced=0.0))


def revert_flash(machine: Machine, source: str, target: str) -> Change:
    """``revertflash``: return to the earlier point in time."""
    flash = step(machine, source, target, FlashEvent.REVERT)
    assert flash.earlier is not None
    kept = flash.earlier
    before = replace(
        flash,
        uncopied=kept.uncopied,
        source_changed=kept.source_changed,
        target_changed=kept.target_changed,
        synced=flash.earlier_synced,
        tracks_to_copy=len(machine.bits[kept.uncopied]),
        earlier=None,
        earlier_synced=0.0,
    )
    return replaced(machine.image, before)


def revertible_of(image: ArrayImage, source: str, sequence: str | None) -> list[Flash]:
    """Return the revertible relations of a source, with that sequence number if one is given. Refuses none."""
    found = [f for f in image.flashes.values() if f.source == source and f.revertible]
    found = [f for f in found if sequence is None or f.options.sequence == sequence]
    if not found:
        raise refuse("not-revertible", f"volume {source} has no such revertible relation", "use setflashrevertible")
    return found


# --- the end of a relation -------------------------------------------------------------------------------------------


def remove_flash(machine: Machine, source: str, target: str) -> Change:
    """Withdraw a relation; tracks that were not copied yet stay as the target's file has them."""
    flash = step(machine, source, target, FlashEvent.WITHDRAW)
    if len(machine.bits[flash.uncopied]) and any(one.source == target for one in machine.flashes_of(target)):
        raise refuse("cascade", f"volume {target} is the source of another copy", "withdraw that copy first")
    image = machine.image
    after = replace(image, flashes={key: value for key, value in image.flashes.items() if key != target})
    pair, uncopied = image.pairs.get(target), machine.bits[flash.uncopied]
    if pair is None or not len(uncopied):
        return Change(after, {})
    if pair.standing.phase is not Phase.SUSPENDED:
        raise refuse("target-paired", f"volume {target} is mirrored while it is copied", "give -cp, or pausepprc first")
    return _marked(machine, after, pair, uncopied)


def finish_then_remove(machine: Machine, source: str, target: str) -> Change:
    """``rmflash -cp``: copy what is left, then let the relation vanish."""
    flash = _changeable(machine, source, target, FlashEvent.FINISH)
    options = replace(flash.options, persist=False, record=False, background_copy=True)
    return replaced(machine.image, replace(flash, options=options, source_changed="", target_changed=""))


def finish_flash(machine: Machine, target: str) -> Change | None:
    """Let a relation vanish whose copy is complete, unless it is persistent. None: nothing to do."""
    flash = machine.image.flashes.get(target)
    if flash is None or flash.options.persistent:
        return None
    if flash.state(len(machine.bits[flash.uncopied])) is not FlashState.COPIED:
        return None
    return remove_flash(machine, flash.source, target)


def fail_flash(machine: Machine, target: str, reason: str) -> Change:
    """The target cannot take what its source has to change: the copy is invalid from now on, its source is free.

    Every relation that still reads through the target fails with it.
    """
    flashes, falling = dict(machine.image.flashes), [target]
    fresh: dict[str, Bitmap] = {}
    number = machine.image.sequence
    while falling:
        flash = flashes[falling.pop()]
        number += 1
        name = f"uncopied-{flash.target}-{number}"
        fresh[name] = Bitmap(machine.bits[flash.uncopied].size)
        options = replace(flash.options, record=False, persist=True)
        flashes[flash.target] = replace(
            flash,
            uncopied=name,
            source_changed="",
            target_changed="",
            earlier=None,
            options=options,
            failed=reason,
        )
        below = [one for one in flashes.values() if one.source == flash.target]
        falling += [one.target for one in below if not one.failed and len(machine.bits[one.uncopied])]
    return Change(replace(machine.image, flashes=flashes, sequence=number), fresh)


# --- checks and building ---------------------------------------------------------------------------------------------


def check_target(machine: Machine, volume: str, options: FlashOptions) -> None:
    """Refuse a target that a mirror forbids: a mirror target always, a mirror source without ``-tgtpprc``."""
    pair = machine.image.pairs.get(volume)
    if pair is None:
        return
    if pair.standing.role is Role.TARGET or pair.superseded:
        raise refuse(
            "target-secondary", f"volume {volume} is the target of a mirror", "flash onto a volume outside pairs"
        )
    if not options.onto_source:
        raise refuse("target-paired", f"volume {volume} is the source of a mirror", "give -tgtpprc to copy onto it")


def _check_source(machine: Machine, volume: str) -> None:
    for flash in machine.flashes_of(volume):
        if flash.failed and flash.target == volume:
            raise refuse("flash-failed", f"the copy on volume {volume} is invalid: {flash.failed}", "withdraw it")
        if flash.revertible:
            raise refuse("revertible", f"volume {volume} is in a revertible relation", "commitflash or revertflash")


def _changeable(machine: Machine, source: str, target: str, event: FlashEvent) -> Flash:
    """Return a relation whose point in time may be moved or turned."""
    flash = step(machine, source, target, event)
    if any(one.source == target for one in machine.flashes_of(target)):
        raise refuse("cascade", f"volume {target} is the source of another copy", "withdraw that copy first")
    return flash


def replaced(image: ArrayImage, flash: Flash) -> Change:
    """Put another state of a relation in its place."""
    return Change(replace(image, flashes={**image.flashes, flash.target: flash}), {})


def _with_flash(machine: Machine, image: ArrayImage, flash: Flash, uncopied: Bitmap, now: float) -> Change:
    number = image.sequence + 1
    tracks = Tracks(f"uncopied-{flash.target}-{number}{FULL if uncopied.base else ''}")
    fresh = {tracks.uncopied: uncopied}
    if flash.options.record:
        tracks = replace(tracks, source_changed=f"source-{flash.target}-{number}")
        if not flash.options.target_inhibit:
            tracks = replace(tracks, target_changed=f"target-{flash.target}-{number}")
        fresh |= {name: Bitmap(uncopied.size) for name in tracks.names if name != tracks.uncopied}
    made = replace(
        flash,
        uncopied=tracks.uncopied,
        source_changed=tracks.source_changed,
        target_changed=tracks.target_changed,
        synced=now,
        tracks_total=uncopied.size,
        tracks_to_copy=len(uncopied),
    )
    after = replace(image, flashes={**image.flashes, flash.target: made}, sequence=number)
    pair = image.pairs.get(flash.target)
    if pair is None:
        return Change(after, fresh)
    marked = _marked(machine, after, pair, uncopied)
    return Change(marked.image, {**fresh, **marked.fresh})


def _marked(machine: Machine, image: ArrayImage, pair: Pair, tracks: Bitmap) -> Change:
    """Count ``tracks`` of a mirror source as missing at its target."""
    known, number = machine.bits[pair.bits], image.sequence + 1
    carried = Bitmap(known.size, base=known.base)
    carried.merge(known)
    carried.merge(tracks)
    name = f"pair-{pair.local}-{number}{FULL if carried.base else ''}"
    pairs = {**image.pairs, pair.local: replace(pair, bits=name)}
    return Change(replace(image, pairs=pairs, sequence=number), {name: carried})
