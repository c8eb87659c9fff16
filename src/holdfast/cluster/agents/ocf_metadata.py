"""What an OCF agent says about itself, and a type block made of it.

``holdfast type import ocf:heartbeat:IPaddr2`` turns an agent's metadata into a type: one attribute per parameter,
timeouts from its actions (which are minimum hints, so ours are never lowered below the engine's defaults for starts
and stops). Defaults are the agent's own and are not repeated as ours: several depend on the instance, and the agent
applies them itself when a parameter is not given; they stand in comments. The agent also asks here which parameters
it must have, before it starts anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.kernel.errors import InputError, Unavailable

OCF_ROOT = "/usr/lib/ocf"
TYPE_PREFIX = "OCF"
_METADATA_LIMIT_S = 20.0
_METADATA_LIMIT_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|msec|us|s|sec|m|min|h|hr)?\s*", re.IGNORECASE)
_UNIT_S = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 0.001, "msec": 0.001, "us": 1e-6, "m": 60.0, "min": 60.0, "h": 3600.0,
           "hr": 3600.0}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: ``default`` is None when the agent names none."""

    name: str
    required: bool = False
    default: str | None = None
    kind: str = "string"
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Metadata:
    """An agent's metadata; action times in seconds, by action name."""

    name: str
    summary: str = ""
    parameters: tuple[Parameter, ...] = ()
    timeouts_s: Mapping[str, float] | None = None
    intervals_s: Mapping[str, float] | None = None

    @property
    def required(self) -> tuple[str, ...]:
        """The parameters that must be given: required ones for which the agent has no default."""
        return tuple(one.name for one in self.parameters if one.required and not one.default)


@dataclass(frozen=True, slots=True)
class AgentName:
    """``ocf:PROVIDER:AGENT``."""

    provider: str
    agent: str

    def __str__(self) -> str:
        return f"ocf:{self.provider}:{self.agent}"

    def path(self, root: str = OCF_ROOT) -> Path:
        """Where the agent lies below ``root``."""
        return Path(root) / "resource.d" / self.provider / self.agent


def parse_name(text: str, where: str = "") -> AgentName:
    """Read ``ocf:PROVIDER:AGENT``. Raises :class:`InputError`, which names ``where`` it stands."""
    parts = text.split(":")
    if len(parts) != 3 or parts[0].lower() != "ocf" or not all(_NAME.fullmatch(part) for part in parts[1:]):
        raise InputError(
            f"{where}{text!r} does not name an OCF agent", remedy="write ocf:PROVIDER:AGENT, as in ocf:heartbeat:Dummy"
        )
    return AgentName(parts[1], parts[2])


def locate(name: AgentName, root: str = OCF_ROOT, where: str = "") -> Path:
    """Return the path of an agent that is there and can run. Raises :class:`InputError` that says what is wrong."""
    path = name.path(root)
    if not Path(root, "resource.d").is_dir():
        raise InputError(f"{where}there are no OCF agents below {root}", remedy="install resource-agents")
    if not path.parent.is_dir():
        known = ", ".join(sorted(entry.name for entry in path.parent.parent.iterdir() if entry.is_dir()))
        raise InputError(f"{where}there is no OCF provider {name.provider!r}", remedy=f"providers here are {known}")
    if not path.is_file():
        raise InputError(
            f"{where}provider {name.provider} has no agent {name.agent!r}", remedy=f"see {path.parent}, or install it"
        )
    if not os.access(path, os.X_OK):
        raise InputError(f"{where}{path} cannot be executed", remedy=f"chmod 755 {path}")
    return path


def installed(root: str = OCF_ROOT) -> tuple[AgentName, ...]:
    """Return the agents below ``root`` that can run, by provider and name."""
    found = Path(root, "resource.d")
    paths = sorted(path for path in found.glob("*/*") if path.is_file() and os.access(path, os.X_OK))
    names = [AgentName(path.parent.name, path.name) for path in paths]
    return tuple(one for one in names if _NAME.fullmatch(one.provider) and _NAME.fullmatch(one.agent))


def parse(text: str, name: str = "") -> Metadata:
    """Read the XML that ``meta-data`` prints. Raises :class:`InputError` with line and column for what is not XML."""
    try:
        root = ElementTree.fromstring(text.strip())
    except ElementTree.ParseError as error:
        line, column = error.position
        raise InputError(
            f"metadata of {name or 'the agent'} cannot be read: {error}", file=name, line=line, column=column + 1,
            remedy="run the agent with meta-data and check it with xmllint",
        ) from error  # fmt: skip
    if root.tag != "resource-agent":
        raise InputError(f"{name or 'it'} prints <{root.tag}>, not <resource-agent>", remedy="is it an OCF agent?")
    actions = [(one.get("name", ""), one) for one in root.iterfind("./actions/action")]
    monitors = [one for verb, one in actions if verb == "monitor" and one.get("role", "").lower() in ("", "started")]
    return Metadata(
        root.get("name", name),
        _text(root, "shortdesc"),
        tuple(_parameter(one) for one in root.iterfind("./parameters/parameter") if one.get("name")),
        {verb: seconds(one.get("timeout", "")) for verb, one in reversed(actions)},
        {"monitor": seconds(monitors[0].get("interval", ""))} if monitors else {},
    )


def _parameter(node: ElementTree.Element) -> Parameter:
    content = node.find("content")
    default = None if content is None else content.get("default")
    kind = "string" if content is None else content.get("type", "string")
    required = node.get("required", "0").lower() in ("1", "true", "yes")
    return Parameter(node.get("name", ""), required, default, kind, _text(node, "shortdesc"))


def _text(node: ElementTree.Element, tag: str) -> str:
    return " ".join((node.findtext(tag) or "").split())


def seconds(text: str) -> float:
    """Return ``20s``, ``20``, ``2min`` or ``500ms`` in seconds; 0 for what cannot be read."""
    match = _NUMBER.fullmatch(text)
    return float(match[1]) * _UNIT_S[(match[2] or "").lower()] if match else 0.0


def type_name(name: AgentName) -> str:
    """Return the name of the type that stands for an agent."""
    words = re.sub(r"[^A-Za-z0-9_]", "_", f"{name.provider}_{name.agent}")
    return f"{TYPE_PREFIX}_{words}"


def type_block(name: AgentName, found: Metadata) -> str:
    """Return a type file with one type that stands for the agent."""
    return "\n".join(_lines(name, found)) + "\n"


def _lines(name: AgentName, found: Metadata) -> Iterator[str]:
    plain = [one for one in found.parameters if _ATTRIBUTE.fullmatch(one.name)]
    times, pauses = found.timeouts_s or {}, found.intervals_s or {}
    yield f"// {name}: {found.summary or found.name}. Made from the agent's metadata."
    yield "// What is left empty is not given to the agent, which then takes its own default."
    yield f"type {type_name(name)} ("
    yield f'\tstatic str AgentFile = "{name}"'
    if pauses.get("monitor", 0) >= 1:
        yield f"\tstatic int MonitorInterval = {round(pauses['monitor'])}"
    for attribute, action, least in (
        ("MonitorTimeout", "monitor", 60), ("OnlineTimeout", "start", 300), ("OfflineTimeout", "stop", 300),
        ("CleanTimeout", "stop", 60),
    ):  # fmt: skip
        if times.get(action, 0) > least:
            yield f"\tstatic int {attribute} = {round(times[action])}"
    required = [one.name for one in plain if one.name in found.required]
    if required:
        yield f"\tstatic keylist RequiredParams = {{ {', '.join(required)} }}"
    yield f"\tstatic str ArgList[] = {{ {', '.join(one.name for one in plain)} }}"
    for one in plain:
        yield f"\tstr {one.name}{_comment(one, one.name in required)}"
    yield "\tstr Params{}" + ("" if len(plain) == len(found.parameters) else "\t// for parameters with other names")
    yield "\tint CheckLevel = 0"
    yield "\t)"


def _comment(one: Parameter, required: bool) -> str:
    words = ["required"] if required else []
    words += [f"default {one.default}"] if one.default else []
    words += [one.summary] if one.summary else []
    text = " ".join("; ".join(words).split())
    return f"\t// {text}" if text else ""


def read(name: AgentName, root: str = OCF_ROOT) -> Metadata:
    """Run an installed agent's ``meta-data`` and read it. Raises :class:`InputError` or :class:`Unavailable`.

    For front ends on this machine; the agent itself asks through the workload.
    """
    path = locate(name, root)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "OCF_ROOT": root}
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                [str(path), "meta-data"], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL,
                env={**environment, "OCF_RESOURCE_INSTANCE": "none"}, timeout=_METADATA_LIMIT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{name} did not print its metadata within {_METADATA_LIMIT_S:.0f} s") from error
        except OSError as error:
            raise InputError(f"{path} cannot be run: {error.strerror}", remedy="check its first line") from error
        output.seek(0)
        text = output.read(_METADATA_LIMIT_BYTES).decode("utf-8", "replace")
    if done.returncode != 0:
        raise InputError(f"{name} meta-data ended with {done.returncode}", remedy=f"run {path} meta-data by hand")
    return parse(text, str(name))
