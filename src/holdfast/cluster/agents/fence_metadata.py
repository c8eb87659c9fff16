"""What a fence agent says of itself, and whether a device of ours is one that it can drive. Pure but for reading.

The agent prints XML for ``-o metadata``, as cluster managers expect. Its parameters are checked before a daemon starts,
because a device that is written wrongly is otherwise noticed in the worst moment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.cluster.model.power import PowerDevice
from holdfast.kernel.errors import InputError

SEARCHED = "/usr/sbin:/sbin:/usr/local/sbin"
_LIMIT_S, _LIMIT_BYTES = 20.0, 1024 * 1024
_OURS = ("action", "metadata", "help", "version")


@dataclass(frozen=True, slots=True)
class FenceMetadata:
    """Parameter → whether it must be given; and the agent's actions."""

    parameters: Mapping[str, bool]
    actions: tuple[str, ...]


def program_of(agent: str) -> str:
    """Return the path of an agent's program. Raises :class:`InputError`."""
    if "/" not in agent and not agent.startswith("fence_"):
        raise InputError(f"{agent!r} is no fence agent", remedy="name one such as fence_ipmilan, or a path")
    found = shutil.which(agent, path=f"{os.environ.get('PATH', '')}:{SEARCHED}")
    if found is None:
        raise InputError(f"there is no program {agent}", remedy="install it: apt-get install fence-agents")
    return found


def parse(text: str) -> FenceMetadata:
    """Read an agent's metadata. Raises :class:`InputError`."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError("its metadata declares a document type", remedy="is it a fence agent?")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"its metadata is not XML: {error}", remedy="is it a fence agent?") from error
    parameters = {}
    for one in root.iter("parameter"):
        content = one.find("content")
        has_default = content is not None and content.get("default") is not None
        if name := one.get("name"):
            parameters[name] = one.get("required") == "1" and not has_default and name not in _OURS
    actions = tuple(name for one in root.iter("action") if (name := one.get("name")))
    if not actions:
        raise InputError("its metadata names no action", remedy="is it a fence agent?")
    return FenceMetadata(parameters, actions)


def read(agent: str) -> FenceMetadata:
    """Ask an agent for its metadata. Raises :class:`InputError`."""
    try:
        done = subprocess.run(
            [program_of(agent), "-o", "metadata"], capture_output=True, timeout=_LIMIT_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(
            f"{agent} does not tell its metadata: {error}", remedy="run it by hand: -o metadata"
        ) from error
    if done.returncode:
        text = f"{agent} does not tell its metadata: exit code {done.returncode}"
        raise InputError(text, remedy=f"run it by hand: {agent} -o metadata")
    try:
        return parse(done.stdout[:_LIMIT_BYTES].decode("utf-8", "replace"))
    except InputError as error:
        raise InputError(f"{agent}: {error.message}", remedy=error.remedy) from error


def check(device: PowerDevice, known: FenceMetadata) -> None:
    """Refuse a device whose parameters the agent does not know, or that lacks one. Raises :class:`InputError`."""
    given = {**device.parameters, **device.secrets}
    for name in given:
        if name in _OURS:
            raise InputError(f"{name} is no parameter of a device", remedy="write action = ... beside parameters")
        if name not in known.parameters:
            names = ", ".join(sorted(known.parameters))
            raise InputError(f"{device.agent} has no parameter {name!r}", remedy=f"it has {names}")
    missing = [name for name, needed in known.parameters.items() if needed and name not in given]
    if missing:
        raise InputError(f"{device.agent} needs {', '.join(missing)}", remedy=f"set parameters.{missing[0]}")
    for action in (device.action, "status"):
        if action not in known.actions:
            remedy = f"it has {', '.join(known.actions)}"
            raise InputError(f"{device.agent} has no action {action!r}", remedy=remedy)
