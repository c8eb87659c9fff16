"""A damaged state file or bitmap is refused with the remedy, and the remedy loses no byte and trusts nothing."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.kernel.errors import HoldfastError, InputError
from holdfast.replication.array import commands, flashcopy, storage
from holdfast.replication.array.machine import HostRefused
from holdfast.replication.model.flash import FlashOptions
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import PairEvent, Phase, Role
from holdfast.replication.model.volumes import Volume
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.media import Media
from holdfast.replication.service.repair import repair_array

IMAGE, PEER = "IBM.2107-75FA120", "IBM.2107-75FA150"
MIB = 1 << 20
SEED = 20141


def array(directory: Path) -> Path:
    """Make an array with a mirrored volume, a mirror target, and a recording flash copy; return its state file."""
    engine = Engine(Media(directory), IMAGE)
    for name in ("1000", "1001", "1002"):
        engine.commit(storage.create_volume(engine.machine, Volume(name, name, 4 * MIB)))
        engine.put(name, MIB, name.encode(), 4)
    for name, role in (("1000", Role.SOURCE), ("1002", Role.TARGET)):
        engine.commit(commands.add_pair(engine.machine, name, Endpoint(PEER, name), role, copy=False, now=1.0))
    engine.commit(commands.pair_events(engine.machine, {"1000": PairEvent.SYNCED, "1002": PairEvent.SYNCED}, 1.0))
    options = FlashOptions(persist=True, record=True, background_copy=False)
    engine.commit(flashcopy.make_flash(engine.machine, "1000", "1001", options, 1.0))
    engine.commit(storage.revoke(engine.machine, "hosta", 7))
    engine.close()
    return directory / "image.msgpack"


def start(directory: Path) -> Engine:
    return Engine(Media(directory), IMAGE)


def refuses(directory: Path, words: str) -> InputError:
    media = Media(directory)
    try:
        with pytest.raises(InputError, match=words) as refused:
            media.load(IMAGE)
    finally:
        media.close()
    assert "holdfast array repair" in refused.value.remedy
    assert str(directory) in refused.value.file
    return refused.value


def test_a_state_file_with_any_byte_changed_is_refused(tmp_path: Path) -> None:
    state, chance = array(tmp_path), random.Random(SEED)
    good = state.read_bytes()
    for place in [0, 7, 8, 40, *(chance.randrange(len(good)) for _ in range(60)), len(good) - 1]:
        state.write_bytes(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        refuses(tmp_path, "damaged|cannot be read")
    for length in (0, 5, 20, 40, len(good) - 1):
        state.write_bytes(good[:length])
        refuses(tmp_path, "damaged|cannot be read")
    state.unlink()
    refuses(tmp_path, "state file is missing")
    state.write_bytes(good)
    start(tmp_path).close()


def test_repair_goes_by_the_generation_before_and_trusts_nothing(tmp_path: Path) -> None:
    state = array(tmp_path)
    state.write_bytes(state.read_bytes()[:-9])
    said = repair_array(tmp_path, IMAGE, trust_access=False, dry_run=True)
    refuses(tmp_path, "damaged")
    assert repair_array(tmp_path, IMAGE, trust_access=False, dry_run=False)[:2] == said[:2]
    assert (tmp_path / "image.damaged").exists()
    engine = start(tmp_path)
    pairs, bits = engine.image.pairs, engine.machine.bits
    assert pairs["1000"].standing.phase is Phase.SUSPENDED
    assert pairs["1002"].standing.role is Role.TARGET
    assert all(len(bits[pair.bits]) == 64 for pair in pairs.values()), "every track counts as changed"
    assert engine.image.flashes["1001"].failed
    assert [engine.read(name, MIB, 4) for name in ("1000", "1002")] == [b"1000", b"1002"]
    with pytest.raises(HostRefused, match="revoked"):
        engine.machine.check_key("hosta", 7)
    with pytest.raises(HostRefused, match="revoked"):
        engine.machine.check_key("another", 8)
    engine.machine.check_key("hosta", int(time.time() * 1000) + 60_000)
    engine.commit(flashcopy.remove_flash(engine.machine, "1000", "1001"))
    engine.close()
    assert repair_array(tmp_path, IMAGE, trust_access=False, dry_run=False) == ["nothing is damaged"]


def test_with_both_generations_gone_the_volumes_are_found_again(tmp_path: Path) -> None:
    state = array(tmp_path)
    state.unlink()
    (tmp_path / "image.previous").write_bytes(b"nothing")
    said = repair_array(tmp_path, IMAGE, trust_access=True, dry_run=False)
    assert "only the volumes' files are left: relations are gone" in said
    engine = start(tmp_path)
    assert engine.image.pairs == {}
    assert engine.image.barred == {}
    assert [engine.read(name, MIB, 4) for name in ("1000", "1002")] == [b"1000", b"1002"]
    engine.close()


def test_a_lost_bitmap_costs_a_full_copy_and_nothing_else(tmp_path: Path) -> None:
    array(tmp_path)
    (lost,) = (tmp_path / "bits").glob("pair-1000-*")
    lost.unlink()
    assert refuses(tmp_path, "bitmap").file == str(lost)
    said = repair_array(tmp_path, IMAGE, trust_access=False, dry_run=False)
    assert said == [f"pair 1000 with {PEER}/1000: every track counts as changed"]
    engine = start(tmp_path)
    assert not engine.image.flashes["1001"].failed
    engine.machine.check_key("another", 8)
    engine.close()


def test_a_running_array_and_a_foreign_directory_are_refused(tmp_path: Path) -> None:
    array(tmp_path)
    engine = start(tmp_path)
    with pytest.raises(HoldfastError, match="in use by another array"):
        repair_array(tmp_path, IMAGE, trust_access=False, dry_run=False)
    engine.close()
    with pytest.raises(InputError, match="holds array"):
        repair_array(tmp_path, PEER, trust_access=False, dry_run=False)


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    state = array(tmp_path / "array")
    state.write_bytes(b"HFARRAY1" + bytes(64))
    config = tmp_path / "array.toml"
    addresses = "\n".join(f'{name} = "127.0.0.1:1"' for name in ("management", "nbd", "mirror"))
    config.write_text(f'storage_image = "{IMAGE}"\ndirectory = "array"\nidentity = "tls"\n{addresses}\n')
    command = [sys.executable, "-m", "holdfast.app.main", "array", "repair", "--config", str(config), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["done"] is True
    assert "image.previous: used" in said["repairs"]
    start(tmp_path / "array").close()
