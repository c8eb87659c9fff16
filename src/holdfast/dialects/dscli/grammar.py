"""The grammar of dscli: which command takes which options, and what a command line means. Pure.

Options start with ``-``; those in ``VALUES`` take the next word. What is neither is a parameter: a volume, a range, a
pair. Global options stand before the command, everything after it belongs to the command.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from holdfast.dialects.dscli.facts import UNSUPPORTED, WITHOUT

GLOBAL_VALUES = frozenset({"cfg", "hmc1", "hmc2", "user", "passwd", "pwfile", "script"})
_COMMON = frozenset({"l", "s", "fullid", "v", "p", "quiet", "wait"})
_COMMON_VALUES = frozenset({"dev", "remotedev", "fmt", "delim", "hdr", "bnr", "type", "v", "p", "r"})
_PAIR_FLAGS = frozenset({"cascade", "tgtonline", "tgtread", "critmode", "resetreserve", "suspend", "unconditional"})
_FLASH_FLAGS = frozenset({"tgtpprc", "tgtoffline", "tgtinhibit", "freeze", "record", "persist", "nocp", "cp", "tgtse"})

FLAGS: dict[str, frozenset[str]] = {
    "mkfbvol": frozenset(),
    "lsfbvol": frozenset(),
    "rmfbvol": frozenset({"force"}),
    "chfbvol": frozenset(),
    "showfbvol": frozenset({"rank"}),
    "lssi": frozenset(),
    "showsi": frozenset(),
    "lslss": frozenset(),
    "lsextpool": frozenset(),
    "mkextpool": frozenset(),
    "chextpool": frozenset(),
    "rmextpool": frozenset(),
    "mkvolgrp": frozenset(),
    "chvolgrp": frozenset(),
    "lsvolgrp": frozenset(),
    "showvolgrp": frozenset(),
    "rmvolgrp": frozenset(),
    "mkhostconnect": frozenset(),
    "chhostconnect": frozenset(),
    "lshostconnect": frozenset(),
    "rmhostconnect": frozenset(),
    "mkflash": _FLASH_FLAGS | {"tgtonly", "multinc", "resetreserve"},
    "resyncflash": _FLASH_FLAGS | {"multinc", "resetreserve"},
    "setflashrevertible": frozenset(),
    "commitflash": frozenset(),
    "revertflash": frozenset(),
    "reverseflash": frozenset({"fast", "record", "persist", "tgtpprc", "tgtoffline", "tgtinhibit"}),
    "lsflash": frozenset({"activecp", "record", "persist", "revertible", "cp"}),
    "rmflash": frozenset({"cp", "tgtoffline", "resetreserve"}),
    "mkpprc": _PAIR_FLAGS | {"tgtse", "incrementalresync", "multtgt"},
    "lspprc": frozenset(),
    "rmpprc": _PAIR_FLAGS,
    "pausepprc": _PAIR_FLAGS,
    "resumepprc": _PAIR_FLAGS | {"tgtse"},
    "failoverpprc": _PAIR_FLAGS | {"force", "multtgt"},
    "failbackpprc": _PAIR_FLAGS | {"tgtse"},
    "mkpprcpath": frozenset({"consistgrp"}),
    "lspprcpath": frozenset(),
    "rmpprcpath": frozenset(),
    "freezepprc": frozenset(),
    "unfreezepprc": frozenset(),
    "unfreezeflash": frozenset(),
    "lsioport": frozenset({"metrics"}),
    "lsavailpprcport": frozenset(),
    **dict.fromkeys((*WITHOUT, *UNSUPPORTED), frozenset()),
    "setenv": frozenset(),
    "managepwfile": frozenset(),
}
"""Command → options without a value, besides the common ones."""

VALUES: dict[str, frozenset[str]] = {
    "mkfbvol": frozenset({"extpool", "cap", "name", "eam", "sam", "volgrp", "os400"}),
    "lsfbvol": frozenset({"lss", "volgrp", "extpool"}),
    "chfbvol": frozenset({"cap", "name"}),
    "mkextpool": frozenset({"cap", "rankgrp", "stgtype"}),
    "chextpool": frozenset({"cap"}),
    "mkvolgrp": frozenset({"volume", "hosttype"}),
    "chvolgrp": frozenset({"action", "volume"}),
    "mkhostconnect": frozenset({"wwname", "hosttype", "volgrp", "desc"}),
    "chhostconnect": frozenset({"volgrp"}),
    "lshostconnect": frozenset({"volgrp"}),
    "setflashrevertible": frozenset({"seqnum"}),
    "commitflash": frozenset({"seqnum"}),
    "revertflash": frozenset({"seqnum"}),
    "mkflash": frozenset({"seqnum", "pmir"}),
    "resyncflash": frozenset({"seqnum", "pmir"}),
    "reverseflash": frozenset({"seqnum"}),
    "rmflash": frozenset({"seqnum"}),
    "lsavailpprcport": frozenset({"remotewwnn"}),
    "mkremoteflash": frozenset({"conduit"}),
    "resyncremoteflash": frozenset({"conduit"}),
    "mkpprc": frozenset({"mode", "srcss", "tgtss"}),
    "lspprc": frozenset({"state"}),
    "rmpprc": frozenset({"at"}),
    "pausepprc": frozenset({"at"}),
    "failoverpprc": frozenset({"srcss", "tgtss"}),
    "mkpprcpath": frozenset({"remotewwnn", "srclss", "tgtlss", "srcss", "tgtss"}),
    "rmpprcpath": frozenset({"remotewwnn"}),
    "setenv": frozenset({"banner", "header", "format", "paging", "rows", "verbose", "fullid", "devid", "remotedevid"}),
    "managepwfile": frozenset({"action", "name", "pw", "mc1", "mc2", "pwfile"}),
}
"""Command → options with a value, besides the common ones."""


class UsageError(Exception):
    """The line is not dscli. ``command`` is empty when that itself is unknown."""

    def __init__(self, command: str, message: str) -> None:
        super().__init__(message)
        self.command, self.message = command, message


@dataclass(frozen=True, slots=True)
class Line:
    """A command with its options (flags have the value "") and parameters."""

    command: str
    options: dict[str, str] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()

    def has(self, option: str) -> bool:
        """True when the option was given."""
        return option in self.options

    def get(self, option: str, default: str = "") -> str:
        """Return an option's value."""
        return self.options.get(option, default)


def split_globals(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Separate global options from the command. Raises :class:`UsageError`."""
    options: dict[str, str] = {}
    index = 0
    while index < len(words) and words[index].startswith("-"):
        name = words[index][1:]
        if name not in GLOBAL_VALUES:
            raise UsageError("dscli", f"unknown option -{name}")
        if index + 1 >= len(words):
            raise UsageError("dscli", f"option -{name} needs a value")
        options[name] = words[index + 1]
        index += 2
    return options, words[index:]


def tokenize(text: str) -> list[str]:
    """Split a typed line; ``#`` starts a comment. Raises :class:`UsageError`."""
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        raise UsageError("dscli", str(error)) from error


def parse(words: list[str]) -> Line:
    """Read one command line. Raises :class:`UsageError`."""
    command = words[0]
    if command not in FLAGS:
        raise UsageError("", f"{command}: Unsupported command")
    if command in UNSUPPORTED:
        return Line(command)
    flags = FLAGS[command] | _COMMON
    values = VALUES.get(command, frozenset()) | _COMMON_VALUES
    options: dict[str, str] = {}
    parameters: list[str] = []
    index = 1
    while index < len(words):
        word = words[index]
        name = word[1:]
        index += 1
        if not word.startswith("-") or word == "-":
            parameters.append(word)
        elif name in flags and not (name in values and index < len(words) and words[index] in ("on", "off")):
            options[name] = ""
        elif name in values:
            if index >= len(words):
                raise UsageError(command, f"option -{name} needs a value")
            options[name] = words[index]
            index += 1
        else:
            raise UsageError(command, f"unknown option -{name}")
    return Line(command, options, tuple(parameters))
