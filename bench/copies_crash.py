"""Kills of an array at random points: is every changed track still known, and how many more would be copied again.

``python -m bench.copies_crash --points 1000 [--seed N]``. A child process opens a real array's files and writes,
flushes, copies in the background and commands at random; it says before and after each step what it does. The parent
kills it (SIGKILL) after a random number of steps and a random moment, opens the files again and compares: the tracks
that count as changed for a suspended mirror and for a recording flash copy must contain every track written since they
were last cleared, the volume must hold every acknowledged byte, and the copy its point in time. Tracks beyond those
written are what a resynchronisation would copy for nothing: at most 64 MiB are promised.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.harness import RESULTS
from holdfast.kernel.sizes import MIB, TRACK_BYTES
from holdfast.replication.array import commands, flashcopy, storage
from holdfast.replication.array.activity import REGION_BYTES
from holdfast.replication.model.flash import FlashOptions
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import PairEvent, Role
from holdfast.replication.model.volumes import Volume
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.media import Media

IMAGE, SOURCE, TARGET = "IBM.2107-75FA120", "1260", "1360"
SIZE_BYTES = 512 * MIB
PROMISED_BYTES = 64 * MIB
STEPS_AT_MOST = 120
_OPTIONS = FlashOptions(persist=True, record=True, background_copy=False)
_RECORD = 13


@dataclass
class Report:
    """What all points together showed; tracks are of 64 KiB."""

    seed: int
    points: int = 0
    steps: int = 0
    tracks_written: int = 0
    tracks_missing: int = 0
    blocks_lost: int = 0
    copies_changed: int = 0
    most_extra_bytes: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether every promise was kept at every point."""
        return not self.problems and self.most_extra_bytes <= PROMISED_BYTES


def make_array(directory: Path) -> None:
    """Make the array: a source with some content, mirrored but suspended, and a recording copy of it."""
    engine = Engine(Media(directory), IMAGE)
    for name in (SOURCE, TARGET):
        engine.commit(storage.create_volume(engine.machine, Volume(name, name, SIZE_BYTES)))
    for place in range(0, SIZE_BYTES, 16 * MIB):
        engine.put(SOURCE, place, bytes([place // MIB % 251 + 1]) * TRACK_BYTES, TRACK_BYTES)
    remote = Endpoint("IBM.2107-75FA150", SOURCE)
    engine.commit(commands.add_pair(engine.machine, SOURCE, remote, Role.SOURCE, copy=False, now=0.0))
    engine.commit(commands.pair_events(engine.machine, {SOURCE: PairEvent.PAUSE}, 0.0))
    engine.commit(flashcopy.make_flash(engine.machine, SOURCE, TARGET, _OPTIONS, 0.0))
    engine.close()


# --- the process that is killed --------------------------------------------------------------------------------------


def work(directory: Path, seed: int, pipe: int) -> None:
    """Write and command until killed. Each step is told before (``b``) and after (``a``): kind, track, fill."""
    chance, engine = random.Random(seed), Engine(Media(directory), IMAGE)

    def tell(kind: bytes, track: int, fill: int) -> None:
        os.write(pipe, kind + track.to_bytes(8) + fill.to_bytes(4))

    tell(b"o", 0, 0)
    while True:
        if chance.random() < 0.9:
            track, fill = chance.randrange(SIZE_BYTES // TRACK_BYTES), chance.randrange(1, 1 << 32)
            tell(b"b", track, fill)
            write(engine, track * TRACK_BYTES, fill.to_bytes(4) * 1024)
            tell(b"a", track, fill)
        else:
            chance.choice((flush, background, bar))(engine)


def write(engine: Engine, offset: int, data: bytes) -> None:
    """One host write, as the array's own path makes it."""
    region = offset // REGION_BYTES
    if not engine.has_room(SOURCE, region):
        flush(engine)
        engine.make_room(SOURCE)
    engine.write(SOURCE, offset, data, len(data))


def flush(engine: Engine) -> None:
    """A host's flush, after which regions may leave the log."""
    log = engine.machine.logs[SOURCE]
    epoch = log.flush_begins()
    engine.sync(SOURCE)
    engine.media.sync_bits()
    log.flush_ended(epoch)
    engine.cool(SOURCE)


def background(engine: Engine) -> None:
    """Some of the background copy."""
    engine.copy_some(TARGET)


def bar(engine: Engine) -> None:
    """A command that only replaces the state file."""
    engine.commit(storage.revoke(engine.machine, "hosta", engine.image.sequence))


# --- the process that kills ------------------------------------------------------------------------------------------


def one_point(directory: Path, chance: random.Random, report: Report) -> None:
    """Run the child, kill it, open the files and check; then clear the bits as a resynchronisation would."""
    begun, ended, reader = [], [], -1
    child_seed, stop_after = chance.randrange(1 << 32), chance.randrange(1, STEPS_AT_MOST)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            work(directory, child_seed, writer)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        while len(ended) < stop_after and (told := pipe.read(_RECORD)):
            _note(told, begun, ended)
        time.sleep(chance.random() * 0.004)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while told := pipe.read(_RECORD):
            _note(told, begun, ended)
    check(directory, begun, ended, report)
    report.points += 1
    report.steps += len(begun)


def _note(told: bytes, begun: list[tuple[int, int]], ended: list[tuple[int, int]]) -> None:
    step = (int.from_bytes(told[1:9]), int.from_bytes(told[9:13]))
    if told[:1] == b"b":
        begun.append(step)
    elif told[:1] == b"a":
        ended.append(step)


def check(directory: Path, begun: list[tuple[int, int]], ended: list[tuple[int, int]], report: Report) -> None:
    """Open the array as its next start does and compare it with what the child told."""
    engine = Engine(Media(directory), IMAGE)
    flash, pair = engine.image.flashes[TARGET], engine.image.pairs[SOURCE]
    written, attempted = {track for track, _ in ended}, {track for track, _ in begun}
    for name in (pair.bits, flash.source_changed):
        known = set(engine.machine.bits[name])
        missing = written - known
        report.tracks_missing += len(missing)
        if missing:
            report.problems.append(f"point {report.points}: {name} lacks tracks {sorted(missing)[:5]}")
        report.most_extra_bytes = max(report.most_extra_bytes, len(known - attempted) * TRACK_BYTES)
    report.tracks_written += len(written)
    doubtful = set(begun[len(ended) :])
    for track, fill in dict(ended).items():
        later = {other for where, other in doubtful if where == track}
        if engine.read(SOURCE, track * TRACK_BYTES, 4096) not in [one.to_bytes(4) * 1024 for one in {fill, *later}]:
            report.blocks_lost += 1
            report.problems.append(f"point {report.points}: the write to track {track} is lost")
    _check_copy(engine, attempted, report)
    _resynchronise(engine)
    engine.close()


def _check_copy(engine: Engine, attempted: set[int], report: Report) -> None:
    """The copy still shows the source as it was when the last point ended; the source's file has moved on."""
    for track in attempted:
        shown = engine.read(TARGET, track * TRACK_BYTES, 4096)
        if shown != _BEFORE.get(track, _first(track)):
            report.copies_changed += 1
            report.problems.append(f"point {report.points}: the copy's track {track} changed")


_BEFORE: dict[int, bytes] = {}
"""What the source held in a track's first block when the copy's point in time was taken, where it differs from the
start."""


def _first(track: int) -> bytes:
    offset = track * TRACK_BYTES
    return bytes([offset // MIB % 251 + 1]) * 4096 if offset % (16 * MIB) == 0 else bytes(4096)


def _resynchronise(engine: Engine) -> None:
    pair, flash = engine.image.pairs[SOURCE], engine.image.flashes[TARGET]
    for track in engine.machine.bits[flash.source_changed]:
        _BEFORE[track] = engine.read(SOURCE, track * TRACK_BYTES, 4096)
    bits = engine.machine.bits[pair.bits]
    for track in list(bits):
        bits.clear(track)
    engine.media.write_all_bits(pair.bits, bits)
    engine.commit(flashcopy.resync_flash(engine.machine, SOURCE, TARGET, _OPTIONS, 0.0))


def run(points: int, seed: int, directory: Path) -> Report:
    """Kill ``points`` times and return what was seen."""
    report, chance, began = Report(seed), random.Random(seed), time.monotonic()
    _BEFORE.clear()
    make_array(directory)
    for _ in range(points):
        one_point(directory, chance, report)
        if report.problems:
            break
    report.seconds = round(time.monotonic() - began, 1)
    return report


def main() -> int:
    """Run, print and keep the report; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="holdfast-crash-"))
    try:
        report = run(given.points, given.seed, directory)
    finally:
        shutil.rmtree(directory)
    text = json.dumps(asdict(report), indent=1)
    print(text)
    if report.points >= 1000:
        (RESULTS / "copies_crash.json").write_text(text + "\n")
    return 0 if report.kept else 1


if __name__ == "__main__":
    sys.exit(main())
