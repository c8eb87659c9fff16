"""``hacf``: check a configuration directory, and turn it into commands and back.

``-verify`` says nothing when all is well. A file that is written keeps what stood there before as ``NAME.previous``.
"""

from __future__ import annotations

import os
from pathlib import Path

from holdfast.cluster.config.writer import dump, dump_types
from holdfast.dialects.vcs.commandfile import read_commands
from holdfast.dialects.vcs.commandlines import command_lines
from holdfast.dialects.vcs.session import Form, Session, Words
from holdfast.kernel.errors import InputError
from holdfast.runtime.textfile import read_text


def _verify(session: Session, words: Words) -> None:
    session.wire.verify(Path(words.first() or "."))


def _to_commands(session: Session, words: Words) -> None:
    directory = Path(words.first() or ".")
    _write(_destination(directory, words) / "main.cmd", command_lines(session.wire.verify(directory)))


def _from_commands(_session: Session, words: Words) -> None:
    directory = Path(words.first() or ".")
    file = directory / "main.cmd" if directory.is_dir() else directory
    found = read_commands(read_text(file), str(file))
    target = _destination(directory, words)
    for name in found.includes:
        if name != Path(name).name:
            raise InputError(f"SourceFile {name!r} is no plain file name", file=str(file), remedy="write ./NAME.cf")
        _write(target / name, dump_types({one.name: one for one in found.types.values() if one.source == name}))
    _write(target / "main.cf", dump(found))


def _destination(directory: Path, words: Words) -> Path:
    named = words.option("dest")
    return Path(named) if named else directory if directory.is_dir() else directory.parent


def _write(file: Path, text: str) -> None:
    fresh = file.with_name(f".{file.name}.new")
    try:
        fresh.write_text(text, "utf-8")
        if file.exists():
            os.replace(file, file.with_name(f"{file.name}.previous"))
        os.replace(fresh, file)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=str(file), remedy="see the directory") from error


FORMS: dict[str, Form] = {"verify": _verify, "cftocmd": _to_commands, "cmdtocf": _from_commands}
"""Forms of ``hacf``."""
