"""The command line of ``svcmgr``: options anywhere, then an action of one or two words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.kernel.errors import InputError

ACTIONS: Mapping[str, str] = {
    "start": "start the service on this system",
    "stop": "stop the service",
    "restart": "stop, then start",
    "switch": "move the service to the system of --to",
    "freeze": "leave the service where it is, whatever happens",
    "thaw": "undo freeze",
    "status": "print the overall state; the exit code says it too",
    "print status": "print the state of every resource",
    "print schedule": "print what runs when",
    "print config": "print the service file",
    "validate config": "check the service file, or that of --config",
    "create": "install the file of --config, and make a service group of what moves",
    "delete": "remove the service file and its group",
    "resync": "stop, resynchronise, start",
    "sync resync": "resynchronise the flash copies; the service must be down",
    "sync update": "as sync resync",
    "sync all": "as sync resync; with --cron only what its schedule asks for",
    "sync nodes": "nothing: flash copies have no copies on nodes",
    "sync drp": "nothing: flash copies have no copies on nodes",
    "logs": "print the service's log",
}
"""Action → what it does."""
UNSUPPORTED = ("full", "break", "quiesce", "resume", "split", "establish", "swap", "restore", "revert", "verify")
"""Sync actions of other drivers."""
_VALUES = {
    "-s": "service", "--service": "service", "--rid": "rid", "--tags": "tags", "--subsets": "subsets",
    "--format": "format", "--config": "config", "--waitlock": "waitlock", "--to": "to", "--color": "color",
}  # fmt: skip
_FLAGS = {
    "-f": "force", "--force": "force", "--dry-run": "dry-run", "--cron": "cron", "-p": "parallel",
    "--parallel": "parallel", "-h": "help", "--help": "help", "--local": "local", "--debug": "debug",
}  # fmt: skip
FORMATS = ("", "json", "table", "csv")


@dataclass(frozen=True, slots=True)
class Line:
    """What was typed."""

    services: tuple[str, ...]
    action: str
    values: Mapping[str, str] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()

    def has(self, flag: str) -> bool:
        """Whether a flag was given."""
        return flag in self.flags

    def chosen(self, name: str) -> frozenset[str]:
        """Return a comma list's members."""
        return frozenset(filter(None, self.values.get(name, "").split(",")))


def parse(arguments: Sequence[str]) -> Line:
    """Read a command line. Raises :class:`InputError` with what is known."""
    values: dict[str, str] = {}
    flags: set[str] = set()
    words: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in _VALUES:
            if not equals and not rest:
                raise InputError(f"{name} needs a value", remedy=f"write {name} VALUE")
            values[_VALUES[name]] = value if equals else rest.pop(0)
        elif word in _FLAGS:
            flags.add(_FLAGS[word])
        elif word.startswith("-"):
            raise InputError(f"there is no option {word}", remedy="svcmgr --help lists them")
        else:
            words.append(word)
    if values.get("format", "") not in FORMATS:
        raise InputError(f"there is no format {values['format']!r}", remedy="known are json, table, csv")
    services = tuple(filter(None, values.get("service", "").split(",")))
    return Line(services, "" if "help" in flags else _action(words), values, frozenset(flags))


def _action(words: Sequence[str]) -> str:
    typed = " ".join(words).replace("_", " ")
    if typed in ACTIONS:
        return typed
    if words and typed.removeprefix("sync ") in UNSUPPORTED and typed.startswith("sync "):
        text = f"{typed}: flash copies (ibmdssnap) do not know this action"
        raise InputError(text, remedy="sync resync makes a new point in time")
    said = f"there is no action {typed!r}" if typed else "no action is named"
    raise InputError(said, remedy=f"known are {', '.join(ACTIONS)}")


def usage() -> str:
    """Return the help."""
    lines = ["Usage: svcmgr -s SERVICE[,SERVICE] [OPTIONS] ACTION", "", "Actions:"]
    lines += [f"  {name:<16} {text}" for name, text in ACTIONS.items()]
    lines += [
        "", "Options:",
        "  -s, --service NAME   the service; several are separated by commas",
        "  --rid, --tags, --subsets LIST   only those resources",
        "  -f, --force          bypass the least delay between two resyncs; nothing else",
        "  --dry-run            say what would be done",
        "  --cron               as the scheduler calls it: what is not due is passed over",
        "  --waitlock SECONDS   how long to wait for another action (60)",
        "  --format json        print status, print schedule: one JSON document",
        "  --config FILE        for create and validate config",
        "  --to SYSTEM          for switch",
        "", "Examples:",
        "  svcmgr -s iiststibmds stop && svcmgr -s iiststibmds sync resync && svcmgr -s iiststibmds start",
        "  svcmgr -s iiststibmds print status --format json",
        "", "Files: OSVCETC (/etc/opensvc), OSVCVAR (/var/lib/opensvc), OSVCLOG (/var/log/opensvc).",
        "Exit codes: the number of services on which the action failed; status: 0 up, 1 down, 2 warn, 3 n/a, 5 undef.",
    ]  # fmt: skip
    return "\n".join(lines)
