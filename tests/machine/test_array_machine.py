"""Random commands, writes and crashes against the array on real files, compared with a naive model after every step.

The model keeps whole volumes as bytes and copies them outright. The array must show the same bytes everywhere although
it copies lazily, keeps bits and logs, and is "killed" (its process state dropped, its files reopened) between steps.
A refusal must have its reason in the model too, and change nothing.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast.kernel.errors import Refused
from holdfast.kernel.sizes import TRACK_BYTES
from holdfast.replication.array import commands, flashcopy, storage
from holdfast.replication.array.activity import REGION_BYTES
from holdfast.replication.array.bitmap import Bitmap
from holdfast.replication.array.machine import Change, HostRefused
from holdfast.replication.model.flash import FlashOptions
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import PairEvent, Role
from holdfast.replication.model.volumes import Features, Pool, Volume
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.media import Media

IMAGE = "IBM.2107-75FA120"
SIZE = 2 * REGION_BYTES + 3 * TRACK_BYTES + 512
TRACKS = -(-SIZE // TRACK_BYTES)
TIGHT = "1460"
VOLUMES = ("1260", "1261", "1360", "1361", TIGHT)
OFFSETS = st.integers(0, SIZE // 512 - 1).map(lambda block: block * 512)
LENGTHS = st.sampled_from([512, 4096, TRACK_BYTES, 3 * TRACK_BYTES])
OPTIONS = st.builds(
    lambda persist, record, inhibit, onto, several: FlashOptions(
        persist or record, record, background_copy=True, target_inhibit=inhibit, onto_source=onto, several=several
    ),
    *(st.booleans() for _ in range(2)),
    st.sampled_from([False, False, True]),
    *(st.booleans() for _ in range(2)),
)


class ForgetfulMedia(Media):
    """Files of a machine that loses power: bits that were set but not synced are gone after a crash.

    What the activity log promises, that a lost bit lies in a hot region, is then the only thing that keeps it.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.intact = False
        self.unsynced: dict[str, Bitmap] = {}

    def spill(self) -> None:
        """Let the page cache have what a kill of the process leaves in it."""
        for name, bits in self.unsynced.items():
            if name in self._bits:
                super().write_all_bits(name, bits)

    def write_bits(self, name: str, bits: Bitmap, tracks: Iterable[int]) -> None:
        self.unsynced[name] = bits

    def write_all_bits(self, name: str, bits: Bitmap) -> None:
        self.unsynced[name] = bits

    def sync_bits(self) -> None:
        for name, bits in self.unsynced.items():
            if name in self._bits:
                super().write_all_bits(name, bits)
        self.unsynced = {}
        super().sync_bits()


@dataclass
class Relation:
    """One flash copy as the model knows it. ``changed``: tracks written on either side since the point in time."""

    source: str
    options: FlashOptions
    changed: set[int] = field(default_factory=set)
    earlier: tuple[bytes, set[int], set[int]] | None = None
    failed: bool = False


class ArrayMachine(RuleBasedStateMachine):
    """The array and the model side by side. ``TIGHT`` lies in a pool that has no room for a whole copy."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="array-machine-"))
        self.open()
        for pool, limit in (("P0", 1 << 40), ("P1", REGION_BYTES + 5 * TRACK_BYTES)):
            self.engine.commit(storage.create_pool(self.engine.machine, Pool(pool, limit)))
        for name in VOLUMES:
            volume = Volume(name, name, SIZE, "P1" if name == TIGHT else "P0")
            self.engine.commit(storage.create_volume(self.engine.machine, volume))
        self.model = {name: bytearray(SIZE) for name in VOLUMES}
        self.unknown: dict[str, set[int]] = {name: set() for name in VOLUMES}
        self.flashes: dict[str, Relation] = {}
        self.paired: dict[str, set[int]] = {}

    def open(self, intact: bool = False) -> None:
        media = ForgetfulMedia(self.directory)
        media.intact = intact
        self.engine = Engine(media, IMAGE, Features(cascading=True))

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.media.close()
            shutil.rmtree(self.directory)

    # --- the model's view --------------------------------------------------------------------------------------------

    def targets_of(self, source: str) -> list[str]:
        return [target for target, one in self.flashes.items() if one.source == source]

    def held(self, name: str) -> bool:
        """Whether a revertible relation keeps the volume from being written."""
        return any(one.earlier and name in (target, one.source) for target, one in self.flashes.items())

    def show(self, target: str, source: str) -> None:
        """``target`` gets the bytes of ``source`` at once, as far as the model is concerned."""
        before = bytes(self.model[target])
        self.model[target][:] = self.model[source]
        self.unknown[target] = set(self.unknown[source])
        self.carried(target, before)

    def carried(self, target: str, before: bytes) -> None:
        """What changed on the source of a mirror must reach its target."""
        if target in self.paired:
            now = self.model[target]
            self.paired[target] |= {t for t in range(TRACKS) if track(before, t) != track(now, t)}

    def uncopied(self, target: str) -> set[int]:
        return set(self.engine.machine.bits[self.engine.image.flashes[target].uncopied])

    def attempt(self, make: Callable[[], Change], reasons: dict[str, bool]) -> bool:
        """Carry out a command. It is refused exactly when the model knows a reason, and then changes nothing."""
        before = self.engine.image
        change, refusal = None, None
        try:
            change = make()
        except Refused as refused:
            refusal = refused.refusal
        if change is None:
            assert refusal is not None
            assert reasons.get(refusal.code), (refusal, reasons)
            assert self.engine.image is before
            return False
        assert not any(reasons.values()), reasons
        self.engine.commit(change)
        return True

    def pick(self, data: st.DataObject) -> tuple[str, Relation]:
        target = data.draw(st.sampled_from(sorted(self.flashes)))
        return target, self.flashes[target]

    # --- writes ------------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(VOLUMES), offset=OFFSETS, length=LENGTHS, fill=st.integers(0, 255))
    def write(self, name: str, offset: int, length: int, fill: int) -> None:
        end = min(offset + length, SIZE)
        relation = self.flashes.get(name)
        barred = relation is not None and (relation.options.target_inhibit or relation.failed)
        try:
            self.engine.machine.route(name, [offset // TRACK_BYTES])
        except HostRefused:
            assert barred or self.held(name)
            return
        assert not barred
        assert not self.held(name)
        while offset < end:
            stop = min(end, (offset // REGION_BYTES + 1) * REGION_BYTES)
            full = False
            try:
                self.put(name, offset, fill, stop - offset)
            except OSError:
                full = True
            self.find_failed()
            if full:
                assert name == TIGHT
                return
            self.note(name, offset, fill, stop)
            offset = stop

    def put(self, name: str, offset: int, fill: int, length: int) -> None:
        self.engine.write(name, offset, None if fill == 0 else bytes([fill]) * length, length)

    def note(self, name: str, offset: int, fill: int, stop: int) -> None:
        self.model[name][offset:stop] = bytes([fill]) * (stop - offset)
        tracks = set(range(offset // TRACK_BYTES, (stop - 1) // TRACK_BYTES + 1))
        whole = {t for t in tracks if offset <= t * TRACK_BYTES and min((t + 1) * TRACK_BYTES, SIZE) <= stop}
        self.unknown[name] -= whole
        for target, relation in self.flashes.items():
            if name in (target, relation.source):
                relation.changed |= tracks
        if name in self.paired:
            self.paired[name] |= tracks

    def find_failed(self) -> None:
        """A copy fails only where its pool is full, or where it reads through one that failed."""
        for target, relation in self.flashes.items():
            if not relation.failed and self.engine.image.flashes[target].failed:
                above, chain = target, [target]
                while above in self.flashes:
                    above = self.flashes[above].source
                    chain.append(above)
                assert TIGHT in chain
                relation.failed, relation.earlier = True, None
                self.unknown[target] = set(range(TRACKS))

    # --- points in time ----------------------------------------------------------------------------------------------

    @rule(ends=st.tuples(st.sampled_from(VOLUMES), st.sampled_from(VOLUMES)), options=OPTIONS)
    def make_flash(self, ends: tuple[str, str], options: FlashOptions) -> None:
        source, target = ends
        siblings = [self.flashes[one] for one in self.targets_of(source)]
        above = self.flashes.get(source)
        reasons = {
            "flash-state": target in self.flashes,
            "flash-size": source == target,
            "cascade": bool(self.targets_of(target)),
            "flash-failed": above is not None and above.failed,
            "revertible": self.held(source),
            "target-paired": target in self.paired and not options.onto_source,
            "second-record": options.record and not options.several and any(one.options.record for one in siblings),
        }
        if self.attempt(lambda: flashcopy.make_flash(self.engine.machine, source, target, options, 1.0), reasons):
            self.flashes[target] = Relation(source, options)
            self.show(target, source)

    def fixed(self, target: str, options: FlashOptions | None, end: str) -> dict[str, bool]:
        """Why a relation may not be moved or turned."""
        relation = self.flashes[target]
        return {
            "revertible": relation.earlier is not None,
            "flash-failed": relation.failed,
            "cascade": bool(self.targets_of(target)),
            "not-recording": not relation.options.record,
            "target-paired": end in self.paired and options is not None and not options.onto_source,
        }

    @precondition(lambda self: self.flashes)
    @rule(data=st.data(), options=OPTIONS)
    def resync(self, data: st.DataObject, options: FlashOptions) -> None:
        target, relation = self.pick(data)
        left = self.uncopied(target)
        source, reasons = relation.source, self.fixed(target, options, target)
        if self.attempt(lambda: flashcopy.resync_flash(self.engine.machine, source, target, options, 2.0), reasons):
            assert self.uncopied(target) >= relation.changed | left
            self.flashes[target] = Relation(source, options)
            self.show(target, source)

    @precondition(lambda self: self.flashes)
    @rule(data=st.data(), copied=st.booleans(), fast=st.booleans(), options=OPTIONS)
    def reverse(self, data: st.DataObject, copied: bool, fast: bool, options: FlashOptions) -> None:
        target, relation = self.pick(data)
        while copied and self.copy(target):
            continue
        if target not in self.flashes:
            return
        source, left = relation.source, self.uncopied(target)
        reasons = self.fixed(target, options, source)
        around = [one for one, other in self.flashes.items() if source in (one, other.source) and one != target]
        reasons["cascade"] |= bool(around)
        reasons["flash-state"] = bool(left) and (not fast or options.persistent)
        if fast:
            reasons["not-recording"] = False
        make = flashcopy.fast_reverse_flash if fast else flashcopy.reverse_flash
        if self.attempt(lambda: make(self.engine.machine, source, target, options, 3.0), reasons):
            assert self.uncopied(source) >= relation.changed - left
            del self.flashes[target]
            self.flashes[source] = Relation(target, options)
            self.show(source, target)
            self.unknown[target] |= left

    @precondition(lambda self: self.flashes)
    @rule(data=st.data())
    def set_revertible(self, data: st.DataObject) -> None:
        target, relation = self.pick(data)
        reasons = self.fixed(target, None, target)
        reasons["target-paired"] = target in self.paired
        earlier = (bytes(self.model[target]), set(self.unknown[target]), set(relation.changed))
        if self.attempt(lambda: flashcopy.set_revertible(self.engine.machine, relation.source, target, 4.0), reasons):
            self.show(target, relation.source)
            relation.earlier, relation.changed = earlier, set()

    @precondition(lambda self: self.flashes)
    @rule(data=st.data(), back=st.booleans())
    def settle(self, data: st.DataObject, back: bool) -> None:
        target, relation = self.pick(data)
        make = flashcopy.revert_flash if back else flashcopy.commit_flash
        reasons = {"not-revertible": relation.earlier is None}
        if self.attempt(lambda: make(self.engine.machine, relation.source, target), reasons):
            assert relation.earlier is not None
            if back:
                self.model[target][:], self.unknown[target], relation.changed = relation.earlier
            relation.earlier = None

    # --- copying and the end of a relation ---------------------------------------------------------------------------

    def copy(self, target: str) -> int:
        left = None
        with contextlib.suppress(OSError):
            left = self.engine.copy_some(target)[1]
        if left is None:
            assert target == TIGHT
            return 0
        if target not in self.engine.image.flashes:
            assert not self.flashes[target].options.persistent
            del self.flashes[target]
        return left

    @precondition(lambda self: self.flashes)
    @rule(data=st.data(), rounds=st.integers(1, 3))
    def copy_in_background(self, data: st.DataObject, rounds: int) -> None:
        target, _ = self.pick(data)
        for _ in range(rounds):
            if target in self.flashes:
                self.copy(target)

    @precondition(lambda self: self.flashes)
    @rule(data=st.data(), finish=st.booleans())
    def withdraw(self, data: st.DataObject, finish: bool) -> None:
        target, relation = self.pick(data)
        left = self.uncopied(target)
        if finish:
            reasons = self.fixed(target, None, target) | {"not-recording": False}
            if self.attempt(
                lambda: flashcopy.finish_then_remove(self.engine.machine, relation.source, target), reasons
            ):
                relation.options = FlashOptions(sequence=relation.options.sequence)
                relation.changed = set()
                self.copy(target)
            return
        reasons = {
            "revertible": relation.earlier is not None,
            "cascade": bool(left) and bool(self.targets_of(target)),
        }
        if self.attempt(lambda: flashcopy.remove_flash(self.engine.machine, relation.source, target), reasons):
            del self.flashes[target]
            self.unknown[target] |= left
            if target in self.paired:
                self.paired[target] |= left

    # --- pairs, flushes, crashes -------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(VOLUMES))
    def pair(self, name: str) -> None:
        remote, machine = Endpoint("IBM.2107-75FA150", name), self.engine.machine
        relation = self.flashes.get(name)
        reasons = {
            "paired": name in self.paired,
            "flash-target": relation is not None and not relation.options.onto_source,
            "revertible": self.held(name),
        }
        if self.attempt(lambda: commands.add_pair(machine, name, remote, Role.SOURCE, copy=False, now=0.0), reasons):
            self.engine.commit(commands.pair_events(machine, {name: PairEvent.PAUSE}, 0.0))
            self.paired[name] = set()

    @precondition(lambda self: self.paired)
    @rule(data=st.data())
    def unpair(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.paired)))
        self.engine.commit(commands.remove_pairs(self.engine.machine, [name]))
        del self.paired[name]

    @rule(name=st.sampled_from(VOLUMES))
    def flush_and_cool(self, name: str) -> None:
        log = self.engine.machine.logs[name]
        epoch = log.flush_begins()
        self.engine.sync(name)
        self.engine.media.sync_bits()
        log.flush_ended(epoch)
        self.engine.cool(name)
        assert not log.hot

    @rule()
    def lose_power(self) -> None:
        self.engine.media.close()
        self.open()

    @rule()
    def kill(self) -> None:
        """The process dies, its machine goes on: every bit that was set is known, so not one more may be set."""
        media = self.engine.media
        assert isinstance(media, ForgetfulMedia)
        media.spill()
        media.close()
        before = {name: set(bits) for name, bits in self.engine.machine.bits.items()}
        self.open(intact=True)
        assert {name: set(bits) for name, bits in self.engine.machine.bits.items()} == before

    # --- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def bytes_are_the_same(self) -> None:
        for name in VOLUMES if hasattr(self, "model") else ():
            shown = self.engine.read(name, 0, SIZE)
            if shown != bytes(self.model[name]):
                wrong = {t for t in range(TRACKS) if track(shown, t) != track(self.model[name], t)}
                assert wrong <= self.unknown[name], (name, sorted(wrong - self.unknown[name]))

    @invariant()
    def no_change_is_forgotten(self) -> None:
        if not hasattr(self, "model"):
            return
        bits = self.engine.machine.bits
        assert self.engine.image.flashes.keys() == self.flashes.keys()
        for target, flash in self.engine.image.flashes.items():
            if flash.source_changed:
                known = {t for name in (flash.source_changed, flash.target_changed) if name for t in bits[name]}
                assert known >= self.flashes[target].changed
        for name, changed in self.paired.items():
            assert set(bits[self.engine.image.pairs[name].bits]) >= changed


def track(data: bytes | bytearray, number: int) -> bytes:
    """Return the bytes of one track."""
    return bytes(data[number * TRACK_BYTES : (number + 1) * TRACK_BYTES])


TestArrayMachine = ArrayMachine.TestCase
TestArrayMachine.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
