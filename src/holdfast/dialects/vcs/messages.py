"""``hamsg``: lines of the logs that the system daemon writes, chosen by severity, object, id or kind of object."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from holdfast.dialects.vcs.enginelog import LETTERS
from holdfast.dialects.vcs.session import Form, Session, UsageError, Words
from holdfast.kernel.errors import InputError

_SEVERITIES = {"C": "CRITICAL", "E": "ERROR", "W": "WARNING", "N": "NOTICE", "I": "INFO"}
_OBJECTS = {"RES": "resource", "GRP": "group", "SYS": "system", "AGT": "agent", "VCS": ""}
_LINE = re.compile(r"\S+ \S+ VCS (\w+) V-16-\d+-(\d+) (.*)")


def _directory(session: Session, words: Words) -> Path:
    named = words.option("path") or session.wire.local.log_directory
    if not named:
        looked = f"no directory of logs is known; looked at log_directory in {session.wire.local.looked_at}"
        raise InputError(looked, remedy="set log_directory in the system's TOML file, or give -path DIRECTORY")
    if not Path(named).is_dir():
        raise InputError("there is no such directory", file=named, remedy="is the system started?")
    return Path(named)


def _names(directory: Path) -> list[str]:
    return sorted({path.stem.rpartition("_")[0] for path in directory.glob("*_[ABC].log")})


def _list(session: Session, words: Words) -> list[str]:
    return _names(_directory(session, words))


def _any(session: Session, words: Words) -> list[str]:
    directory, name = _directory(session, words), words.first() or "engine"
    plain = re.sub(r"(_[ABC])?(\.log)?$", "", name)
    if plain not in _names(directory):
        raise UsageError(f"there is no log {name!r}; there are {' '.join(_names(directory)) or 'none'}")
    severities = [_severity(word) for word in words.every("sev")]
    kinds = [_kind(word) for word in words.every("otype")]
    return [
        text
        for text in _lines(directory, plain)
        if (found := _LINE.match(text))
        and (not severities or found[1] in severities)
        and (not words.every("msgid") or found[2].lstrip("0") in [one.lstrip("0") for one in words.every("msgid")])
        and all(re.search(rf"(?<!\S){re.escape(one)}(?!\w)", found[3]) for one in words.every("oname"))
        and all(one in found[3].lower() for one in kinds)
    ]


def _lines(directory: Path, name: str) -> Iterator[str]:
    """The lines of a log, oldest first."""
    for letter in reversed(LETTERS):
        path = directory / f"{name}_{letter}.log"
        if path.exists():
            yield from path.read_text("utf-8", errors="replace").splitlines()


def _severity(word: str) -> str:
    if word[:1].upper() not in _SEVERITIES:
        raise UsageError(f"a severity is one of {' '.join(_SEVERITIES)}, not {word!r}")
    return _SEVERITIES[word[0].upper()]


def _kind(word: str) -> str:
    if word.upper() not in _OBJECTS:
        raise UsageError(f"a kind of object is one of {' '.join(_OBJECTS)}, not {word!r}")
    return _OBJECTS[word.upper()]


FORMS: dict[str, Form] = {"": _any, "any": _any, "list": _list, "info": _any}
"""Forms of ``hamsg``; without one the first word names a log."""
