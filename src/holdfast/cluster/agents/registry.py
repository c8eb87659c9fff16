"""The agents that come with the cluster, by type name; composition roots add theirs."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.cluster.agents.application import Application
from holdfast.cluster.agents.fileonoff import FileOnOff
from holdfast.cluster.agents.ip import IP
from holdfast.cluster.agents.mount import Mount
from holdfast.cluster.ports import Agent

BUILT_IN: dict[str, Callable[[], Agent]] = {
    "Application": Application,
    "FileOnOff": FileOnOff,
    "IP": IP,
    "Mount": Mount,
}
"""Type name → factory."""
