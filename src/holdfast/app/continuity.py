"""Wires continuity: what the system daemon plugs in.

The factories are named in a system's TOML file and get its ``[settings]``: ``system``, ``store``, ``identity``,
``run_directory``, ``storage_image`` (the array that the system is attached to), ``arrays`` (image → address) and, where
the arrays settle who is source in another store than the cluster's, ``pairs``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from holdfast.app.store import open_store
from holdfast.continuity.ports import AccessControl
from holdfast.continuity.service.devices import Attachment, VolumeDevices
from holdfast.continuity.service.evidence import ArrayFence, PairStandings
from holdfast.kernel.errors import Refusal, Refused
from holdfast.replication.drivers.softarray import SoftArray

REVOKE_TIMEOUT_S = 1.0


class ArrayAccess:
    """Cuts a host off at a software array."""

    def __init__(self, image: str, address: str, identity: Path) -> None:
        self._image, self._address, self._identity = image, address, identity

    def revoke(self, host: str, key: int) -> str:
        """Bar the host, return the array's confirmation in words."""
        array = SoftArray(self._address, self._identity, self._image)
        try:
            done = array.revoke(host, key, timeout_s=REVOKE_TIMEOUT_S)
        finally:
            array.close()
        return f"{done.array} confirmed as number {done.sequence} that {done.host} is barred up to key {done.key}"


def array_fence(settings: Mapping[str, Any]) -> ArrayFence:
    """Return the fence that revokes a lost system's access at its array."""
    arrays, identity = dict(settings["arrays"]), Path(settings["identity"])

    @cache
    def access(image: str) -> AccessControl:
        if image not in arrays:
            raise Refused(
                Refusal("unknown-array", f"no address of {image} is configured", "add it to [settings.arrays]")
            )
        return ArrayAccess(image, arrays[image], identity)

    return ArrayFence(open_store(settings["store"]), access)


def pair_standings(settings: Mapping[str, Any]) -> PairStandings:
    """Return what knows whose data is current; ``pairs`` names the arrays' store if it is not the cluster's."""
    pairs = settings.get("pairs")
    return PairStandings(open_store(settings["store"]), open_store(pairs) if pairs else None)


def block_devices(settings: Mapping[str, Any]) -> VolumeDevices:
    """Return what turns ``volume:ID`` into a disk of this system's array."""
    attachment = Attachment(
        system=settings["system"],
        array=dict(settings["arrays"])[settings["storage_image"]],
        run_directory=Path(settings["run_directory"]),
        program=(sys.executable, "-m", "holdfast"),
        environment={"HOLDFAST_IDENTITY": settings["identity"]},
    )
    return VolumeDevices(attachment, lambda: os.environ["HOLDFAST_INCARNATION"])
