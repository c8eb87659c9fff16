"""Devices that can end a system from outside: power switches, management boards, hypervisors.

A device is driven by a program of the ``fence-agents`` family. Several devices of one ``level`` must all confirm (two
power supplies); the next level is tried when the one before it did not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_TIMEOUT_S = 60.0
ACTIONS = ("off", "reboot")


@dataclass(frozen=True, slots=True)
class PowerDevice:
    """One device of one system. ``secrets`` maps parameters to files of mode 600 that hold their values."""

    agent: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    action: str = "off"
    timeout_s: float = DEFAULT_TIMEOUT_S
    level: int = 1

    @property
    def label(self) -> str:
        """How it is spoken of: the agent and what tells it from others of its kind."""
        named = [
            f"{name}={self.parameters[name]}" for name in ("ip", "ipaddr", "plug", "port") if name in self.parameters
        ]
        return " ".join((self.agent.rpartition("/")[2], *named))


@dataclass(frozen=True, slots=True)
class PowerState:
    """What a device says of its system: ``on``, ``off`` or ``unknown``, and why it is unknown."""

    device: str
    level: int
    state: str
    reason: str = ""
