"""``[[fencing.SYSTEM]]`` of a system's file: its devices read, checked against their agents, and tried by hand.

Every system's file names the devices of all systems: whoever coordinates uses them. ``holdfast fence status`` and
``test`` use those of this machine's file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.cli.cluster import Answer
from holdfast.cli.frame import table
from holdfast.cluster.agents import fence_metadata
from holdfast.cluster.agents.power import FenceAgents
from holdfast.cluster.model.facts import Evidence
from holdfast.cluster.model.power import ACTIONS, DEFAULT_TIMEOUT_S, PowerDevice
from holdfast.kernel.errors import InputError, Refusal, Refused
from holdfast.runtime.textfile import choice_in, number_in, read_toml

_KEYS = ("agent", "parameters", "secrets", "action", "timeout_s", "level")


def read_devices(table: Mapping[str, Any], path: Path) -> dict[str, tuple[PowerDevice, ...]]:
    """Return the devices by system. Raises :class:`InputError` that names the file and the table."""
    section = table.get("fencing", {})
    if not isinstance(section, dict):
        raise InputError("fencing is a table of systems", file=str(path), remedy="write [[fencing.SYSTEM]]")
    return {str(name): _devices(str(name), value, path) for name, value in section.items()}


def _devices(system: str, value: object, path: Path) -> tuple[PowerDevice, ...]:
    rows = value if isinstance(value, list) else [value]
    devices = tuple(_device(system, row, path) for row in rows)
    for level in {one.level for one in devices}:
        same = [one for one in devices if one.level == level]
        if len(same) > 1 and any(one.action == "reboot" for one in same):
            text = f"[fencing.{system}]: several devices of level {level} cannot each reboot it"
            raise InputError(text, file=str(path), remedy='write action = "off"')
    return devices


def _device(system: str, row: object, path: Path) -> PowerDevice:
    place = f"[fencing.{system}]"
    if not isinstance(row, dict) or not isinstance(row.get("agent"), str):
        raise InputError(f"{place} names no agent", file=str(path), remedy='write agent = "fence_ipmilan"')
    for name in row:
        if name not in _KEYS:
            raise InputError(f"{place}: {name!r} is not known", file=str(path), remedy=f"known are {', '.join(_KEYS)}")
    texts = {}
    for name in ("parameters", "secrets"):
        given = row.get(name, {})
        if not isinstance(given, dict) or not all(isinstance(one, str | int) for one in given.values()):
            raise InputError(
                f"{place}: {name} is a table of texts", file=str(path), remedy=f'{name} = {{ ip = "..." }}'
            )
        texts[name] = {str(key): str(one) for key, one in given.items()}
    for key, one in texts["parameters"].items():
        if "\n" in f"{key}{one}" or "passw" in key:
            remedy = f'secrets = {{ {key} = "FILE" }}, the file with mode 600'
            raise InputError(f"{place}: {key} does not belong among parameters", file=str(path), remedy=remedy)
    try:
        level = int(number_in(row, "level", 1, path))
        timeout_s = number_in(row, "timeout_s", DEFAULT_TIMEOUT_S, path)
        action = choice_in(row, "action", ACTIONS, "off", path)
    except InputError as error:
        raise error.inside(str(path), place) from error
    secrets = {key: str(path.parent / one) for key, one in texts["secrets"].items()}
    return PowerDevice(row["agent"], texts["parameters"], secrets, action, timeout_s, level)


def check_devices(devices: Mapping[str, Sequence[PowerDevice]], path: Path) -> None:
    """Ask each agent what it knows and refuse a device that it cannot drive. Raises :class:`InputError`."""
    known: dict[str, fence_metadata.FenceMetadata] = {}
    for system, every in devices.items():
        for device in every:
            try:
                if device.agent not in known:
                    known[device.agent] = fence_metadata.read(device.agent)
                fence_metadata.check(device, known[device.agent])
            except InputError as error:
                raise error.inside(str(path), f"[fencing.{system}]") from error


def handlers() -> dict[str, Any]:
    """Return what the operations ``fence status`` and ``fence test`` are bound to."""
    return {"fence status": _status, "fence test": _test}


def _file(values: Mapping[str, Any]) -> tuple[Path, dict[str, tuple[PowerDevice, ...]]]:
    given = str(values.get("config") or os.environ.get("HOLDFAST_SYSTEM_CONFIG", ""))
    if not given:
        raise InputError("no system's file is named", remedy="give --config, or set HOLDFAST_SYSTEM_CONFIG")
    path = Path(given)
    devices = read_devices(read_toml(path), path)
    check_devices(devices, path)
    return path, devices


def _chosen(values: Mapping[str, Any]) -> tuple[str, FenceAgents]:
    path, devices = _file(values)
    system = str(values.get("system") or "")
    if system and system not in devices:
        known = ", ".join(devices) or "none"
        refusal = Refusal(
            "no-device", f"{path} names no device of {system}", f"add [[fencing.{system}]]; known: {known}"
        )
        raise Refused(refusal)
    return system, FenceAgents(devices, lambda _level, _text: None)


def _status(_store: str, values: Mapping[str, Any]) -> Answer:
    system, agents = _chosen(values)

    async def ask() -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for name in [system] if system else sorted(agents.systems):
            for one in await agents.states(name):
                rows.append({"system": name, **asdict(one)})
        return rows

    found = asyncio.run(ask())
    columns = ("system", "level", "device", "state", "reason")
    text = table([name.upper() for name in columns], [[row[name] for name in columns] for row in found])
    return Answer(found, text if found else "no devices are configured: add [[fencing.SYSTEM]]")


def _test(_store: str, values: Mapping[str, Any]) -> Answer:
    system, agents = _chosen(values)
    if values.get("off"):
        if not values.get("yes"):
            refusal = Refusal("not-agreed", f"this ends {system}, with all that runs on it", "add --yes if you mean it")
            raise Refused(refusal)
        done = asyncio.run(agents.end(system, ""))
        if not isinstance(done, Evidence):
            raise Refused(done)
        return Answer({"system": system, "evidence": done.text}, done.text)
    states = asyncio.run(agents.states(system))
    silent = [one for one in states if one.state == "unknown"]
    if silent:
        text = "; ".join(f"{one.device}: {one.reason}" for one in silent)
        raise Refused(
            Refusal("no-answer", f"not every device of {system} answers: {text}", "mend it before it is needed")
        )
    told = "; ".join(f"{one.device}: {one.state}" for one in states)
    return Answer({"system": system, "devices": states}, f"every device of {system} answers: {told}")
