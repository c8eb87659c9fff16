"""Volumes as disks of a host, for as long as a step needs them; and flash copies mounted beside the running service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.continuity.service.drill.stage import Stage

PERSON_KEY = 1
"""The drill attaches as ``drill-HOST``, a name of its own: barring a system must not bar the person beside it."""


@contextmanager
def attached(stage: Stage, host: str, volume: str) -> Iterator[str]:
    """Attach a volume of the host's own array; yield the file that shows it."""
    array = stage.layout.array_of(host)
    directory = str(stage.sites.directory / host / "disks" / volume)
    words = ["--file", "--host", f"drill-{host}", "--key", str(PERSON_KEY), "--run-dir", directory]
    address = f"{array.address}:{stage.layout.array_port}"
    device = stage.json(host, "holdfast", "volume", "attach", volume, *words, "--array", address)["device"]
    try:
        yield str(device)
    finally:
        stage.run(host, "holdfast", "volume", "detach", "--run-dir", directory)


@contextmanager
def mounted(stage: Stage, host: str, volume: str, name: str) -> Iterator[str]:
    """Attach a flash target, let fsck replay its journal, mount it read-only; yield where."""
    place = f"/run/copies/{name}"
    with attached(stage, host, volume) as device:
        stage.run(host, "mkdir", "-p", place)
        checked = stage.attempt(host, "fsck.ext4", "-p", device)
        stage.insist(checked.code in (0, 1), f"a sound file system on the copy {volume}", checked.stdout, host)
        stage.run(host, "mount", "-t", "ext4", "-o", "loop,ro", device, place)
        try:
            yield place
        finally:
            stage.run(host, "umount", place)
