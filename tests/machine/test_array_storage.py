"""Pools, volume groups, paths and the rules of copies on a real array's files, without a network."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.kernel.errors import Refused
from holdfast.replication.array import commands, flashcopy, storage
from holdfast.replication.array.machine import Change, HostRefused
from holdfast.replication.model.flash import FlashOptions
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import PairEvent, Role
from holdfast.replication.model.paths import Path as MirrorPath
from holdfast.replication.model.volumes import Features, Pool, Volume
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.media import Media
from holdfast.replication.service.provisioning import PROVISIONS

IMAGE, PEER = "IBM.2107-75FA120", "IBM.2107-75FA150"
MIB = 1 << 20
PERSISTENT = FlashOptions(persist=True, background_copy=False)
RECORDING = FlashOptions(persist=True, record=True, background_copy=False)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(Media(tmp_path), IMAGE)
    yield made
    made.media.close()


def run(engine: Engine, verb: str, of: str, /, **options: object) -> str:
    return PROVISIONS[verb](engine, of, options)


def volumes(engine: Engine, *names: str, size_bytes: int = 4 * MIB, pool: str = "P0", sam: str = "ese") -> None:
    for name in names:
        run(engine, "mkvolume", name, size_bytes=size_bytes, pool=pool, sam=sam)


def write(engine: Engine, volume: str, offset: int, data: bytes) -> None:
    engine.machine.route(volume, [offset // 65536])
    engine.write(volume, offset, data, len(data))


def refused(code: str, make: object) -> Refused:
    with pytest.raises(Refused) as found:
        make()  # type: ignore[operator]
    assert found.value.refusal.code == code
    return found.value


def flash(engine: Engine, source: str, target: str, options: FlashOptions = PERSISTENT) -> None:
    engine.commit(flashcopy.make_flash(engine.machine, source, target, options, 1.0))


def pair(engine: Engine, volume: str, role: Role = Role.SOURCE) -> Change:
    return commands.add_pair(engine.machine, volume, Endpoint(PEER, volume), role, copy=False, now=1.0)


# --- pools and volumes -----------------------------------------------------------------------------------------------


def test_a_pool_refuses_what_it_has_no_room_for(engine: Engine) -> None:
    run(engine, "mkpool", "P1", size_bytes=10 * MIB)
    volumes(engine, "1000", size_bytes=8 * MIB, pool="P1", sam="standard")
    full = refused("pool-full", lambda: volumes(engine, "1001", size_bytes=8 * MIB, pool="P1", sam="standard"))
    assert "2097152 bytes left" in full.refusal.reason
    volumes(engine, "1002", size_bytes=1 << 40, pool="P1")
    refused("pool-full", lambda: run(engine, "chvolume", "1000", size_bytes=12 * MIB))
    refused("pool-full", lambda: run(engine, "chpool", "P1", size_bytes=4 * MIB))
    refused("no-pool", lambda: volumes(engine, "1003", pool="P7"))
    refused("in-use", lambda: run(engine, "rmpool", "P1"))
    run(engine, "chpool", "P1", size_bytes=20 * MIB)
    run(engine, "chvolume", "1000", size_bytes=12 * MIB, name="larger")
    write(engine, "1000", 11 * MIB, b"in the new part")
    assert engine.read("1000", 11 * MIB, 15) == b"in the new part"


def test_a_thin_volume_stops_at_the_limit_and_may_rewrite_what_it_has(engine: Engine) -> None:
    run(engine, "mkpool", "P1", size_bytes=2 * MIB)
    volumes(engine, "1000", size_bytes=64 * MIB, pool="P1")
    write(engine, "1000", 0, b"x" * MIB)
    with pytest.raises(OSError, match="pool P1 is full") as full:
        write(engine, "1000", 8 * MIB, b"x" * (MIB + 4096))
    assert full.value.errno == errno.ENOSPC
    write(engine, "1000", 4096, b"again")
    assert engine.read("1000", 4096, 6) == b"againx"


def test_the_size_of_a_copied_volume_stays(engine: Engine) -> None:
    volumes(engine, "1000", "1001")
    flash(engine, "1000", "1001")
    refused("in-relation", lambda: run(engine, "chvolume", "1000", size_bytes=8 * MIB))
    refused("bad-size", lambda: run(engine, "chvolume", "1000", size_bytes=0))
    engine.commit(flashcopy.remove_flash(engine.machine, "1000", "1001"))
    refused("bad-size", lambda: run(engine, "chvolume", "1000", size_bytes=MIB))


def test_a_volume_in_a_group_is_served_to_its_hosts_only(engine: Engine) -> None:
    volumes(engine, "1000", "1001")
    group = run(engine, "mkvolgroup", "database", volumes=["1000"])
    host = run(engine, "mkhost", "hosta", volgroup=group)
    assert (group, host) == ("V0", "0000")
    engine.machine.check_access("hosta", "1000")
    engine.machine.check_access("hostb", "1001")
    with pytest.raises(HostRefused, match="not in a volume group of host hostb"):
        engine.machine.check_access("hostb", "1000")
    refused("in-use", lambda: run(engine, "rmvolgroup", group))
    refused("in-use", lambda: run(engine, "rmvolume", "1000"))
    refused("exists", lambda: run(engine, "mkhost", "hosta"))
    refused("not-in-group", lambda: run(engine, "chvolgroup", group, remove=["1001"]))
    run(engine, "chvolgroup", group, add=["1001"], remove=["1000"])
    engine.machine.check_access("hostb", "1000")
    run(engine, "chhost", host, volgroup="")
    with pytest.raises(HostRefused):
        engine.machine.check_access("hosta", "1001")
    run(engine, "rmhost", host)
    run(engine, "rmvolgroup", group)
    assert (engine.image.groups, engine.image.hosts) == ({}, {})


# --- FlashCopy rules -------------------------------------------------------------------------------------------------


def test_the_thirteenth_target_and_a_second_recording_relation_are_refused(engine: Engine) -> None:
    volumes(engine, *(f"10{number:02X}" for number in range(14)))
    flash(engine, "1000", "1001", RECORDING)
    refused("second-record", lambda: flash(engine, "1000", "1002", RECORDING))
    several = FlashOptions(persist=True, record=True, several=True)
    flash(engine, "1000", "1002", several)
    for number in range(3, 13):
        flash(engine, "1000", f"10{number:02X}")
    refused("too-many", lambda: flash(engine, "1000", "100D"))


def test_a_cascade_needs_the_feature_and_reads_through(tmp_path: Path, engine: Engine) -> None:
    volumes(engine, "1000", "1001", "1002")
    flash(engine, "1000", "1001")
    assert "flash_cascading" in refused("cascade", lambda: flash(engine, "1001", "1002")).refusal.remedy
    other = Engine(Media(tmp_path / "second"), IMAGE, Features(cascading=True))
    volumes(other, "1000", "1001", "1002")
    write(other, "1000", 0, b"first")
    flash(other, "1000", "1001", RECORDING)
    flash(other, "1001", "1002", RECORDING)
    write(other, "1000", 0, b"later")
    assert [other.read(name, 0, 5) for name in ("1000", "1001", "1002")] == [b"later", b"first", b"first"]
    write(other, "1001", 0, b"third")
    assert [other.read(name, 0, 5) for name in ("1000", "1001", "1002")] == [b"later", b"third", b"first"]
    refused("cascade", lambda: other.commit(flashcopy.remove_flash(other.machine, "1000", "1001")))
    resync = lambda: flashcopy.resync_flash(other.machine, "1000", "1001", RECORDING, 2.0)  # noqa: E731
    refused("cascade", resync)
    other.media.close()


def test_a_mirror_forbids_some_targets(engine: Engine) -> None:
    volumes(engine, "1000", "1001", "1002", "1003")
    engine.commit(pair(engine, "1001"))
    engine.commit(pair(engine, "1002", Role.TARGET))
    refused("target-paired", lambda: flash(engine, "1000", "1001"))
    onto = FlashOptions(persist=True, onto_source=True)
    refused("target-secondary", lambda: flash(engine, "1000", "1002", onto))
    engine.commit(commands.pair_events(engine.machine, {"1001": PairEvent.PAUSE}, 2.0))
    flash(engine, "1000", "1001", onto)
    bits = engine.machine.bits[engine.image.pairs["1001"].bits]
    assert len(bits) == engine.image.volumes["1001"].tracks, "the mirror has to carry the whole new content"
    flash(engine, "1000", "1003", PERSISTENT)
    refused("flash-target", lambda: pair(engine, "1003"))
    engine.commit(flashcopy.remove_flash(engine.machine, "1000", "1003"))
    flash(engine, "1000", "1003", onto)
    refused("flash-target", lambda: pair(engine, "1003", Role.TARGET))
    engine.commit(pair(engine, "1003"))


def test_a_full_pool_fails_the_copy_and_never_its_source(tmp_path: Path, engine: Engine) -> None:
    run(engine, "mkpool", "P0", size_bytes=64 * MIB)
    run(engine, "mkpool", "P1", size_bytes=MIB)
    volumes(engine, "1000", pool="P0")
    volumes(engine, "1001", "1002", pool="P1")
    for place in range(4):
        write(engine, "1000", place * MIB, b"a" * MIB)
    flash(engine, "1000", "1001", RECORDING)
    for place in range(4):
        write(engine, "1000", place * MIB, b"b" * MIB)
    assert engine.read("1000", 0, 4 * MIB) == b"b" * 4 * MIB
    failed = engine.image.flashes["1001"]
    assert "could not take a track" in failed.failed
    with pytest.raises(HostRefused, match="invalid"):
        engine.machine.check_read("1001")
    refused("flash-failed", lambda: flashcopy.resync_flash(engine.machine, "1000", "1001", RECORDING, 2.0))
    engine.media.close()
    again = Engine(Media(tmp_path), IMAGE)
    assert again.image.flashes["1001"].failed == failed.failed
    again.commit(flashcopy.remove_flash(again.machine, "1000", "1001"))
    again.media.close()
    engine.media = Media(tmp_path)


def test_a_revertible_relation_holds_both_points_in_time(engine: Engine) -> None:
    volumes(engine, "1000", "1001")
    write(engine, "1000", 0, b"one")
    flash(engine, "1000", "1001", RECORDING)
    write(engine, "1000", 0, b"two")
    refused("not-revertible", lambda: flashcopy.revertible_of(engine.image, "1000", None))
    engine.commit(flashcopy.set_revertible(engine.machine, "1000", "1001", 2.0))
    assert engine.read("1001", 0, 3) == b"two"
    for volume in ("1000", "1001"):
        with pytest.raises(HostRefused, match="revertible"):
            write(engine, volume, 0, b"no!")
    refused("revertible", lambda: flashcopy.remove_flash(engine.machine, "1000", "1001"))
    engine.commit(flashcopy.revert_flash(engine.machine, "1000", "1001"))
    assert engine.read("1001", 0, 3) == b"one"
    write(engine, "1000", MIB, b"on")
    engine.commit(flashcopy.set_revertible(engine.machine, "1000", "1001", 3.0))
    engine.commit(flashcopy.commit_flash(engine.machine, "1000", "1001"))
    write(engine, "1000", 0, b"six")
    assert engine.read("1001", 0, 3) == b"two"
    assert engine.read("1001", MIB, 2) == b"on"


def test_a_fast_reverse_restores_a_source_whose_copy_is_not_complete(engine: Engine) -> None:
    volumes(engine, "1000", "1001")
    write(engine, "1000", 0, b"good")
    write(engine, "1000", 3 * MIB, b"same")
    flash(engine, "1000", "1001", FlashOptions(background_copy=False))
    write(engine, "1000", 0, b"evil")
    refused("flash-state", lambda: flashcopy.reverse_flash(engine.machine, "1000", "1001", PERSISTENT, 2.0))
    refused("flash-state", lambda: flashcopy.fast_reverse_flash(engine.machine, "1000", "1001", PERSISTENT, 2.0))
    engine.commit(flashcopy.fast_reverse_flash(engine.machine, "1000", "1001", FlashOptions(), 2.0))
    assert engine.image.flashes["1000"].tracks_to_copy == 16, "what was never copied has not changed"
    assert (engine.read("1000", 0, 4), engine.read("1000", 3 * MIB, 4)) == (b"good", b"same")
    while engine.copy_some("1000")[1]:
        continue
    assert engine.image.flashes == {}
    assert engine.read("1000", 0, 4) == b"good"


# --- pairs and paths -------------------------------------------------------------------------------------------------


def test_a_removed_path_must_be_made_again_by_hand(engine: Engine) -> None:
    volumes(engine, "1000")
    remote = Endpoint(PEER, "1100")
    change = commands.need_path(engine.machine, "1000", remote)
    assert change is not None, "where nothing is said, the pair makes its path"
    engine.commit(change)
    assert commands.need_path(engine.machine, "1000", remote) is None
    path = MirrorPath(PEER, "10", "11")
    engine.commit(commands.remove_path(engine.machine, path, force=False))
    assert "mkpprcpath" in refused("no-path", lambda: commands.need_path(engine.machine, "1000", remote)).refusal.remedy
    refused("no-path", lambda: commands.remove_path(engine.machine, path, force=False))
    engine.commit(commands.make_path(engine.machine, path))
    assert commands.need_path(engine.machine, "1000", remote) is None


def test_a_path_in_use_stays(engine: Engine) -> None:
    volumes(engine, "1000")
    engine.commit(pair(engine, "1000"))
    path = MirrorPath(PEER, "10", "10")
    engine.commit(commands.make_path(engine.machine, path))
    refused("in-use", lambda: commands.remove_path(engine.machine, path, force=False))
    engine.commit(commands.pair_events(engine.machine, {"1000": PairEvent.PAUSE}, 2.0))
    engine.commit(commands.remove_path(engine.machine, path, force=False))


def test_mirrors_do_not_cascade(engine: Engine) -> None:
    volumes(engine, "1000")
    engine.commit(pair(engine, "1000", Role.TARGET))
    further = Endpoint("IBM.2107-75FA170", "1000")
    why = refused(
        "cascade", lambda: commands.add_pair(engine.machine, "1000", further, Role.SOURCE, copy=True, now=1.0)
    )
    assert "does not cascade" in why.refusal.reason


def test_critical_mode_stops_a_source_whose_target_is_lost(engine: Engine) -> None:
    volumes(engine, "1000")
    remote = Endpoint(PEER, "1000")
    change = commands.add_pair(engine.machine, "1000", remote, Role.SOURCE, copy=False, now=1.0, critical=True)
    engine.commit(change)
    engine.commit(commands.pair_events(engine.machine, {"1000": PairEvent.LINK_LOST}, 2.0))
    with pytest.raises(HostRefused, match="critical mode"):
        write(engine, "1000", 0, b"alone")
    engine.commit(commands.pair_events(engine.machine, {"1000": PairEvent.PAUSE}, 3.0))
    write(engine, "1000", 0, b"alone")


def test_storage_commands_leave_no_trace_when_refused(engine: Engine) -> None:
    volumes(engine, "1000")
    before = engine.image
    for code, make in (
        ("exists", lambda: storage.create_volume(engine.machine, Volume("1000", "x", 512))),
        ("bad-request", lambda: storage.create_pool(engine.machine, Pool("pool", 1))),
        ("bad-size", lambda: storage.create_pool(engine.machine, Pool("P1", 0))),
        ("no-group", lambda: storage.create_host(engine.machine, "h", "V9")),
        ("no-volume", lambda: storage.create_group(engine.machine, "g", frozenset({"2000"}))),
        ("no-host", lambda: storage.remove_host(engine.machine, "0009")),
    ):
        refused(code, make)
    assert engine.image is before
