"""The agents that come with the cluster, by type name; composition roots add theirs.

A type that nobody registered is not lost: :class:`Agents` answers for it with an agent that runs what the type itself
names, an OCF agent in ``AgentFile`` or a directory of scripts, so that types imported while a daemon runs need no
restart of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from holdfast.cluster.agents.absent import Absent
from holdfast.cluster.agents.application import Application
from holdfast.cluster.agents.fileonoff import FileOnOff
from holdfast.cluster.agents.files import ElifNone, FileNone, FileOnOnly, Phantom
from holdfast.cluster.agents.foreign import Foreign
from holdfast.cluster.agents.ip import IP
from holdfast.cluster.agents.lsb import LSB
from holdfast.cluster.agents.mount import Mount
from holdfast.cluster.agents.nic import NIC, MultiNICB
from holdfast.cluster.agents.ocf import OCF
from holdfast.cluster.agents.process import Process
from holdfast.cluster.agents.proxy import Proxy
from holdfast.cluster.agents.script import Script
from holdfast.cluster.agents.systemd import Systemd
from holdfast.cluster.ports import Agent

_VXVM = ("Veritas Volume Manager", "use LVMVolumeGroup and LVMLogicalVolume, or a script agent in AgentDirectory")

BUILT_IN: dict[str, Callable[[], Agent]] = {
    "Application": Application,
    "DiskGroup": lambda: Absent(*_VXVM),
    "ElifNone": ElifNone,
    "FileNone": FileNone,
    "FileOnOff": FileOnOff,
    "FileOnOnly": FileOnOnly,
    "IP": IP,
    "LSB": LSB,
    "Mount": Mount,
    "MultiNICB": MultiNICB,
    "NIC": NIC,
    "OCF": OCF,
    "Phantom": Phantom,
    "Process": Process,
    "Proxy": Proxy,
    "Script": Script,
    "Systemd": Systemd,
    "Volume": lambda: Absent(*_VXVM),
}
"""Type name → factory."""


class Agents(Mapping[str, Agent]):
    """Agents by type name; every name has one. Iterates over those that are registered."""

    def __init__(self, registered: Mapping[str, Agent]) -> None:
        self._agents, self._registered = dict(registered), tuple(registered)

    def __getitem__(self, kind: str) -> Agent:
        return self._agents.setdefault(kind, Foreign(kind))

    def __iter__(self) -> Iterator[str]:
        return iter(self._registered)

    def __len__(self) -> int:
        return len(self._registered)
