"""Step 2, protect: volumes, Metro Mirror to FULL DUPLEX, the service online on its first system, and a load on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.continuity.model.sites import FLASH_TARGETS, GROUP, MIRRORED, VOLUME_BYTES, Role
from holdfast.continuity.service.drill import client, mirror, tree
from holdfast.continuity.service.drill.disks import attached
from holdfast.continuity.service.drill.stage import Stage
from holdfast.kernel.sizes import GIB

COPY_SERVICES = "reference, copy services 2"
MINIMUM_WRITES = 20


def run(stage: Stage) -> Mapping[str, Any]:
    """Make volumes and pairs, bring the group online, start the load."""
    first, remote = stage.systems(1)[0], stage.systems(2)[0]
    _make_password_file(stage, first)
    capacity = f"{VOLUME_BYTES / GIB:g}"
    for host in (first, remote):
        volumes = (*MIRRORED, *FLASH_TARGETS)
        stage.dscli(
            host, "mkfbvol", "-extpool", "P0", "-cap", capacity, "-name", "drill_#h", *volumes, origin=COPY_SERVICES
        )
    if stage.sites.root:
        _make_file_systems(stage, first)
    one, two = mirror.array_of(stage, 1), mirror.array_of(stage, 2)
    pairs = [f"{volume}:{volume}" for volume in MIRRORED]
    stage.dscli(
        first, "mkpprc", "-dev", one, "-remotedev", two, "-type", "mmir", "-mode", "full", *pairs, origin=COPY_SERVICES
    )
    mirror.await_states(stage, 1, "Full Duplex")
    mirror.await_states(stage, 2, "Target Full Duplex")
    stage.run(first, "hagrp", "-online", GROUP, "-sys", first, origin="reference, cluster 2.1")
    stage.await_online(first)
    figures = tree.plant(stage, first)
    stage.narrator.note(f"planted {figures['files']} files, {figures['bytes']} bytes in {tree.place(stage)}")
    client.write_options(stage, first, "DELHI")
    stage.sites.start(stage.layout.of(Role.CLIENT)[0].name)
    stage.await_writes(MINIMUM_WRITES)
    rows = mirror.pair_rows(stage, 1)
    return {"tracks_mirrored": sum(row["tracks_total"] for row in rows), "writes": stage.load.count()}


def _make_password_file(stage: Stage, host: str) -> None:
    """Keep the dscli password in a file, as seed 002 demands; it is read from standard input, never an argument."""
    password = (stage.sites.directory / "dscli.password").read_text()
    words = ("-action", "add", "-pwfile", stage.pwfile(host), "-name", "admin", "-pw", "-")
    stage.feed(host, password, "dscli", "managepwfile", *words, origin="seed 004")


def _make_file_systems(stage: Stage, host: str) -> None:
    for volume in MIRRORED:
        with attached(stage, host, volume) as device:
            stage.run(host, "mkfs.ext4", "-q", "-L", volume, "-E", "lazy_itable_init=0,lazy_journal_init=0", device)
