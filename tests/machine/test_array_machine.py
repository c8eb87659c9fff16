"""Random commands, writes and crashes against the array on real files, compared with a naive model after every step.

The model keeps whole volumes as bytes and copies them outright. The array must show the same bytes everywhere although
it copies lazily, keeps bits and logs, and is "killed" (its process state dropped, its files reopened) between steps.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast.kernel.errors import Refused
from holdfast.kernel.sizes import TRACK_BYTES
from holdfast.replication.array import commands, flashcopy, storage
from holdfast.replication.array.activity import REGION_BYTES
from holdfast.replication.array.bitmap import Bitmap
from holdfast.replication.model.flash import FlashOptions
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import PairEvent, Role
from holdfast.replication.model.volumes import Volume
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.media import Media

IMAGE = "IBM.2107-75FA120"
SIZE = 2 * REGION_BYTES + 3 * TRACK_BYTES + 512
VOLUMES = ("1260", "1261", "1360", "1361")
OFFSETS = st.integers(0, SIZE // 512 - 1).map(lambda block: block * 512)
LENGTHS = st.sampled_from([512, 4096, TRACK_BYTES, 3 * TRACK_BYTES])


class ForgetfulMedia(Media):
    """Files of a machine that loses power: bits that were set but not synced are gone after a crash.

    What the activity log promises, that a lost bit lies in a hot region, is then the only thing that keeps it.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.unsynced: dict[str, Bitmap] = {}

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


class ArrayMachine(RuleBasedStateMachine):
    """The array and the model side by side."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="array-machine-"))
        self.engine = Engine(ForgetfulMedia(self.directory), IMAGE)
        for name in VOLUMES:
            self.engine.commit(storage.create_volume(self.engine.machine, Volume(name, name, SIZE)))
        self.model = {name: bytearray(SIZE) for name in VOLUMES}
        self.flashes: dict[str, tuple[str, bool]] = {}
        self.changed: dict[str, set[int]] = {}

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.media.close()
            shutil.rmtree(self.directory)

    # --- what happens ------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(VOLUMES), offset=OFFSETS, length=LENGTHS, fill=st.integers(0, 255))
    def write(self, name: str, offset: int, length: int, fill: int) -> None:
        length = min(length, SIZE - offset)
        data = bytes([fill]) * length
        start = offset
        while start < offset + length:
            end = min(offset + length, (start // REGION_BYTES + 1) * REGION_BYTES)
            region = start // REGION_BYTES
            if not self.engine.ready(name, region):
                self.engine.prepare(name, region)
            log = self.engine.machine.logs[name]
            log.begin(region)
            part = None if fill == 0 else data[start - offset : end - offset]
            self.engine.apply(name, start, part, end - start, mirrored=False)
            log.end(region)
            start = end
        self.model[name][offset : offset + length] = data
        tracks = set(range(offset // TRACK_BYTES, (offset + length - 1) // TRACK_BYTES + 1))
        for target, (source, record) in self.flashes.items():
            if record and name in (source, target):
                self.changed[target] |= tracks
        if name in self.engine.image.pairs:
            self.paired |= tracks

    @rule(ends=st.tuples(st.sampled_from(VOLUMES), st.sampled_from(VOLUMES)), record=st.booleans())
    def make_flash(self, ends: tuple[str, str], record: bool) -> None:
        source, target = ends
        options = FlashOptions(persist=True, record=record)
        busy = target in self.flashes or source in self.flashes or source == target
        busy |= any(s == target for s, _ in self.flashes.values()) or target in self.engine.image.pairs
        busy |= record and any(s == source and r for s, r in self.flashes.values())
        try:
            self.engine.commit(flashcopy.make_flash(self.engine.machine, source, target, options, 1.0))
        except Refused:
            assert busy
            return
        assert not busy
        self.model[target][:] = self.model[source]
        self.flashes[target] = (source, record)
        self.changed[target] = set()

    @precondition(lambda self: self.flashes)
    @rule(data=st.data())
    def resync(self, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(sorted(self.flashes)))
        source, record = self.flashes[target]
        left = set(self.engine.machine.bits[self.engine.image.flashes[target].uncopied])
        options = FlashOptions(persist=True, record=True)
        try:
            change = flashcopy.resync_flash(self.engine.machine, source, target, options, 2.0)
        except Refused:
            assert not record
            return
        self.engine.commit(change)
        copying = set(self.engine.machine.bits[self.engine.image.flashes[target].uncopied])
        assert copying >= self.changed[target] | left
        self.model[target][:] = self.model[source]
        self.flashes[target] = (source, True)
        self.changed[target] = set()

    @precondition(lambda self: self.flashes)
    @rule(data=st.data(), copied=st.booleans(), record=st.booleans())
    def reverse(self, data: st.DataObject, copied: bool, record: bool) -> None:
        target = data.draw(st.sampled_from(sorted(self.flashes)))
        source, recording = self.flashes[target]
        while copied and target in self.engine.image.flashes and self.engine.copy_some(target)[1]:
            continue
        left = len(self.engine.machine.bits[self.engine.image.flashes[target].uncopied])
        others = [one for one in self.flashes if self.flashes[one][0] == source and one != target]
        options = FlashOptions(persist=True, record=record)
        before = self.engine.image
        try:
            change = flashcopy.reverse_flash(self.engine.machine, source, target, options, 3.0)
        except Refused:
            assert not recording or left or others or source in self.engine.image.pairs
            assert self.engine.image is before
            return
        self.engine.commit(change)
        copying = set(self.engine.machine.bits[self.engine.image.flashes[source].uncopied])
        assert copying >= self.changed[target]
        self.model[source][:] = self.model[target]
        del self.flashes[target], self.changed[target]
        self.flashes[source], self.changed[source] = (target, record), set()

    @precondition(lambda self: self.flashes)
    @rule(data=st.data(), rounds=st.integers(1, 3))
    def copy_in_background(self, data: st.DataObject, rounds: int) -> None:
        target = data.draw(st.sampled_from(sorted(self.flashes)))
        for _ in range(rounds):
            self.engine.copy_some(target)

    @precondition(lambda self: self.flashes)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(sorted(self.flashes)))
        while self.engine.copy_some(target)[1]:
            continue
        self.engine.commit(flashcopy.remove_flash(self.engine.machine, self.flashes[target][0], target))
        del self.flashes[target], self.changed[target]

    @precondition(lambda self: "1260" not in self.engine.image.pairs and "1260" not in self.flashes)
    @rule()
    def pair(self) -> None:
        remote = Endpoint("IBM.2107-75FA150", "1260")
        machine = self.engine.machine
        self.engine.commit(commands.add_pair(machine, "1260", remote, Role.SOURCE, copy=False, now=0.0))
        self.engine.commit(commands.pair_events(machine, {"1260": PairEvent.PAUSE}, 0.0))
        self.paired: set[int] = set()

    @precondition(lambda self: "1260" in self.engine.image.pairs)
    @rule()
    def unpair(self) -> None:
        self.engine.commit(commands.remove_pairs(self.engine.machine, ["1260"]))

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
    def crash(self) -> None:
        self.engine.media.close()
        self.engine = Engine(ForgetfulMedia(self.directory), IMAGE)

    # --- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def bytes_are_the_same(self) -> None:
        if hasattr(self, "model"):
            for name in VOLUMES:
                assert self.engine.read(name, 0, SIZE) == bytes(self.model[name]), name

    @invariant()
    def no_change_is_forgotten(self) -> None:
        if not hasattr(self, "model"):
            return
        machine = self.engine.machine
        for target, flash in self.engine.image.flashes.items():
            if flash.source_changed:
                known = set(machine.bits[flash.source_changed]) | set(machine.bits[flash.target_changed])
                assert known >= self.changed[target]
        pair = self.engine.image.pairs.get("1260")
        if pair is not None:
            assert set(machine.bits[pair.bits]) >= self.paired


TestArrayMachine = ArrayMachine.TestCase
TestArrayMachine.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
