"""Files that people write, read so that every complaint can point at its cause: file, line and column, and a remedy.

All configuration, macros and settings come through here. A file is UTF-8 or it is refused at the byte that is not;
nothing is guessed, because a name that was read wrongly is worse than one that was not read.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.kernel.errors import InputError

_TOML_PLACE = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)$")


def read_text(path: Path) -> str:
    """Return a file's text, with lines ended by a newline only. Raises :class:`InputError`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=str(path), remedy="check path and rights") from error
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        raise InputError(
            f"byte {content[error.start]:#04x} is not UTF-8",
            file=str(path),
            line=before.count("\n") + 1,
            column=len(before) - before.rfind("\n"),
            remedy=f"write the file in UTF-8, for example: iconv -f latin1 -t utf8 {path.name}",
        ) from error


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file's table. Raises :class:`InputError` at the place that is not TOML."""
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _TOML_PLACE.search(str(error))
        message = str(error)[: found.start()] if found else str(error)
        last = text.rstrip("\n")
        line, column = last.count("\n") + 1, len(last) - last.rfind("\n")
        if found and found[1]:
            line, column = int(found[1]), int(found[2])
        remedy = 'correct this line; a text stands in "quotes", and each key and table stands once'
        raise InputError(f"is not TOML: {message}", file=str(path), line=line, column=column, remedy=remedy) from error
    except RecursionError as error:
        raise InputError("brackets are nested too deeply", file=str(path), remedy="is it a settings file?") from error


def host_port(value: object, key: str, path: Path) -> str:
    """Return ``value`` if it is HOST:PORT. Raises :class:`InputError` that names file and key."""
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not host or not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
        remedy = f'write {key} = "10.77.1.20:7501"'
        raise InputError(f"{key}: {value!r} is not HOST:PORT", file=str(path), remedy=remedy)
    return str(value)


def number_in(table: Mapping[str, Any], key: str, default: float, path: Path) -> float:
    """Return a number that is neither negative nor endless. Raises :class:`InputError` that names file and key."""
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
        raise InputError(
            f"{key} is a number from 0 up, not {value!r}", file=str(path), remedy=f"write {key} = {default:g}"
        )
    return float(value)


def choice_in(table: Mapping[str, Any], key: str, choices: tuple[str, ...], default: str, path: Path) -> str:
    """Return one of ``choices``. Raises :class:`InputError` that names file and key."""
    value = table.get(key, default)
    if value not in choices:
        raise InputError(
            f"{key}: {value!r} is not known", file=str(path), remedy=f"known are {', '.join(map(repr, choices))}"
        )
    return str(value)
