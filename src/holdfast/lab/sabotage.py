"""Breaks one part of the system on purpose, to show that the drill notices. Nothing outside the lab knows of this.

A broken part is a function here that replaces one method of a part while the lab's processes start (through a
``sitecustomize`` module on their path). A drill that passes with any of these proves nothing, and the gate runs each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.continuity.model.sites import Role


@dataclass(frozen=True, slots=True)
class Way:
    """One way to break a part: whose processes, which step must notice, and how it is done."""

    role: Role
    noticed_in: tuple[str, ...]
    apply: Callable[[], None]


WAYS: Mapping[str, Way] = {}


def wrappers(name: str) -> Mapping[Role, Sequence[str]]:
    """Return the command prefix per role that applies the sabotage called ``name``."""
    return {}
