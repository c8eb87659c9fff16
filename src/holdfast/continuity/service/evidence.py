"""What the cluster may believe about a group's mirrored volumes: whose data is current, and who is cut off from it.

Both answers come from authorities that outlive any one system. Whether data is current is read from the pair records
in the store, which arrays change by compare-and-set before they let writes diverge; a display state such as Target
Full Duplex is never enough. That a lost system is cut off is confirmed by its own array, which from then on applies no
write of that system's incarnation or an earlier one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.configuration import Configuration, Group, Resource
from holdfast.cluster.model.facts import Evidence, EvidenceKind, Standing
from holdfast.cluster.service.records import CONFIG, ConfigRecord, decode
from holdfast.continuity.ports import AccessControl
from holdfast.kernel.errors import InputError, Refusal, Refused, Unavailable
from holdfast.replication.model.identity import Endpoint, access_key, pair_key
from holdfast.replication.model.pairs import PairRecord
from holdfast.replication.service.witness import PREFIX, decode_record
from holdfast.store.port import Store

MIRROR_TYPE = "MetroMirror"


def mirrors(group: Group) -> tuple[Resource, ...]:
    """Return the resources of a group that stand for mirrored volumes."""
    return tuple(resource for resource in group.resources.values() if resource.type.name == MIRROR_TYPE)


def endpoints(resource: Resource, system: str) -> tuple[tuple[Endpoint, Endpoint], ...]:
    """Return (local, remote) of each volume of a MetroMirror resource as ``system`` is attached."""
    local = str(resource.get("LocalStorageImageID", system))
    remote = str(resource.get("RemoteStorageImageID", system))
    volumes = resource.get("VolIds", system)
    names = volumes if isinstance(volumes, tuple) else tuple(volumes) if not isinstance(volumes, str | int) else ()
    return tuple((Endpoint(local, str(name)), Endpoint(remote, str(name))) for name in names)


class ConfigurationInStore:
    """The cluster's committed configuration, parsed again only when it has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._revision = -1
        self._configuration: Configuration | None = None

    async def group(self, name: str) -> Group | None:
        """Return the group called ``name``, or None."""
        snapshot = await self._store.read(CONFIG)
        entry = snapshot.entries.get(CONFIG)
        if entry is None:
            return None
        if entry.revision != self._revision or self._configuration is None:
            self._configuration = build(decode(entry.value, ConfigRecord).files)
            self._revision = entry.revision
        return self._configuration.groups.get(name)


class PairStandings:
    """Says whether a group's data is current on a system's side, from the pair records in the store.

    ``pairs`` is where the arrays keep those if that is another store than the cluster's: two clusters that share
    mirrored volumes have a store each, and both ask the one that their arrays settle things in.
    """

    def __init__(self, store: Store, pairs: Store | None = None) -> None:
        self._pairs, self._configuration = pairs or store, ConfigurationInStore(store)

    async def standing(self, group: str, system: str) -> Standing:
        """Return True only when every volume is recorded as source there, or as an in-sync target."""
        try:
            found = await self._configuration.group(group)
            records = await self._records()
        except Unavailable as error:
            return Standing(None, f"the store cannot be read: {error.message}")
        resources = mirrors(found) if found is not None else ()
        if not resources:
            return Standing(True, "the group has no mirrored volumes")
        reasons = []
        for resource in resources:
            for local, remote in endpoints(resource, system):
                current, reason = _judge(records.get(pair_key(local, remote)), local)
                if current is not True:
                    return Standing(current, reason)
                reasons.append(reason)
        return Standing(True, "; ".join(reasons))

    async def _records(self) -> dict[str, PairRecord]:
        snapshot = await self._pairs.read(PREFIX)
        return {key: decode_record(entry.value) for key, entry in snapshot.entries.items()}


def _judge(record: PairRecord | None, local: Endpoint) -> tuple[bool | None, str]:
    if record is None:
        return None, f"no pair of {local} is recorded"
    if record.source == local:
        return True, f"{local} is recorded as source"
    if record.in_sync:
        return True, f"{local} is recorded as in sync with {record.source}"
    return False, f"{record.source} went on alone; {local} lacks what was written there since"


class ArrayFence:
    """Cuts a lost system off at its own array and returns the array's confirmation as evidence."""

    def __init__(self, store: Store, access: Callable[[str], AccessControl]) -> None:
        self._configuration, self._access = ConfigurationInStore(store), access

    async def fence(self, system: str, incarnation: str, group: str) -> Evidence | Refusal:
        """Revoke the access of ``incarnation`` and every earlier one to all arrays of the group's volumes."""
        try:
            found = await self._configuration.group(group)
            resources = mirrors(found) if found is not None else ()
            images = {local.image for resource in resources for local, _ in endpoints(resource, system)}
            confirmed = [await self._revoke(image, system, incarnation) for image in sorted(images)]
        except Refused as refused:
            return refused.refusal
        except (Unavailable, InputError) as error:
            return Refusal("array-unreachable", error.message, "bring the array back, or see that the system is off")
        if not confirmed:
            return Refusal("nothing-to-fence", f"{group} has no volumes on an array", "use another fence")
        return Evidence(EvidenceKind.FENCED, "; ".join(confirmed), system, incarnation)

    async def admit(self, system: str, incarnation: str, group: str) -> Refusal | None:
        """Nothing to do: a later incarnation has a larger key and is admitted by the array itself."""
        return None

    async def _revoke(self, image: str, system: str, incarnation: str) -> str:
        return await asyncio.to_thread(self._access(image).revoke, system, access_key(incarnation))
