"""The drill's own eyes: the cluster's state from its store and the arrays' state from the arrays, without a command.

What the drill *does*, it does by commands that an administrator would type. What it looks at many times a second while
it waits, it reads here, so that waiting costs nothing that the systems under drill would feel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from holdfast.cluster.service.client import configuration_of
from holdfast.cluster.service.records import ROOT, State
from holdfast.cluster.service.report import group_report, system_report
from holdfast.continuity.model.sites import GROUP, Layout, Role
from holdfast.replication.drivers.softarray import SoftArray
from holdfast.runtime import identity
from holdfast.store.drivers.served import ServedStore
from holdfast.store.port import Store

WITNESS = "store:witness"


class Eyes:
    """Looks at the witness and the arrays with an identity of its own."""

    def __init__(self, layout: Layout, identity: Path) -> None:
        self._layout, self._identity = layout, identity

    def group(self) -> Mapping[str, Any]:
        """Return the group's report. Raises ``Unavailable`` when the witness does not answer."""
        state = self._state()
        report = msgspec.json.decode(msgspec.json.encode(group_report(state, configuration_of(state).groups[GROUP])))
        assert isinstance(report, dict)
        return report

    def systems(self) -> Mapping[str, str]:
        """Return each system's state."""
        state = self._state()
        return {name: system_report(state, name).state for name in configuration_of(state).systems}

    def array(self, site: int, verb: str, *objects: str) -> list[dict[str, Any]]:
        """Return the rows of a query to a site's array. Raises ``Unavailable`` when it does not answer."""
        host = self._layout.of(Role.ARRAY, site)[0]
        client = SoftArray(f"{host.address}:{self._layout.array_port}", self._identity, host.name)
        try:
            return client.run(verb, list(objects)).rows
        finally:
            client.close()

    def _state(self) -> State:
        return asyncio.run(self._read())

    async def _read(self) -> State:
        store = self._open()
        try:
            return State.of(await store.read(ROOT))
        finally:
            await store.close()

    def _open(self) -> Store:
        address, port = self._layout.of(Role.WITNESS)[0].address, self._layout.store_port
        if self._layout.store == "etcd":
            from holdfast.store.drivers.etcd import EtcdStore
            from holdfast.store.drivers.etcd_members import Tls

            mine = identity.Identity.load(self._identity)
            return EtcdStore([f"{address}:{port}"], Tls(mine.ca, mine.cert, mine.key, identity.host_label(WITNESS)))
        return ServedStore(address, port, identity.client_context(self._identity), identity.host_label(WITNESS))
