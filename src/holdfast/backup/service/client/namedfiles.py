"""From the words of a command to what each filespace has to do: specifications read, file lists read, rules at hand.

Which filespace a path lies in is the longest of those that the node has on the server, names in its DOMAIN or has
mounted; braces overrule it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from holdfast.backup.model.clientmessages import text
from holdfast.backup.plan.domain import resolve
from holdfast.backup.plan.filespec import FileSpec, parse_spec
from holdfast.backup.service.client.choose import list_filespaces
from holdfast.backup.service.client.delivery import Terms
from holdfast.backup.service.client.incremental import Figures, Say, Source
from holdfast.backup.service.client.options import ClientOptions
from holdfast.backup.service.client.run import mounts, write_error_log
from holdfast.backup.service.client.selected import Archive, Order, Partial, Selective
from holdfast.backup.service.client.telling import tell_stored
from holdfast.backup.service.connection import Session
from holdfast.kernel.errors import InputError
from holdfast.runtime.textfile import read_text

Run = Callable[[Session, Order, Say | None], Figures]


def selective(session: Session, order: Order, say: Say | None) -> Figures:
    """Back up what is named, changed or not."""
    return Selective(session, order, say).run()


def partial(session: Session, order: Order, say: Say | None) -> Figures:
    """Back up what changed of what is named."""
    return Partial(session, order, say).run()


def archiving(terms: Terms, delete: bool = False) -> Run:
    """Return the command that archives what is named."""
    return lambda session, order, say: Archive(session, order, terms, say, delete).run()


def run_named(
    session: Session,
    options: ClientOptions,
    words: Sequence[str],
    run: Run,
    say: Say | None,
    *,
    subdir: bool = False,
    roots: Mapping[str, str] | None = None,
    archive: bool = False,
) -> Figures:
    """Run a command over everything that ``words`` name; the figures are those of all filespaces together.

    EXCLUDE.FS keeps a filespace from every backup, and says nothing of archives.
    """
    options = options.under(session.welcome.options)
    total = Figures()
    for order in orders(session, options, words, subdir, roots or {}):
        if not archive and not order.rules.filespace(order.source.filespace).included:
            total.warnings.append(text("ANS1696W", name=order.source.filespace))
            continue
        total.add(run(session, order, say))
    total.seconds = round(total.seconds, 3)
    write_error_log(options, total)
    tell_stored(session, total, archived=archive)
    return total


def orders(
    session: Session, options: ClientOptions, words: Sequence[str], subdir: bool, roots: Mapping[str, str]
) -> list[Order]:
    """Return one order per filespace, in the order named. Raises ``InputError``, and then nothing was done."""
    known = known_filespaces(session, options)
    by_filespace: dict[str, list[FileSpec]] = {}
    for word in words:
        spec = parse_spec(absolute(word), known, subdir)
        by_filespace.setdefault(spec.filespace, []).append(spec)
    rules = options.rules()
    tries = max(int(options.get("CHANGINGRETRIES", "4") or 4), 1)
    types = {mount.path: mount.type.upper() for mount in mounts()}
    found = []
    for name, specs in by_filespace.items():
        root = roots.get(name, name)
        if not os.path.isdir(root):
            raise InputError(
                f"ANS1071E Invalid domain name entered: '{name}' ({root} is no directory)", remedy="mount it"
            )
        found.append(Order(Source(name, root, types.get(root, "DIRECTORY")), tuple(specs), rules, tries))
    return found


def known_filespaces(session: Session, options: ClientOptions) -> list[str]:
    """Return the filespaces in which a path may lie."""
    kept = [row.name for row in list_filespaces(session)]
    named = resolve(options.lists.get("DOMAIN", []), [])
    virtual = [path for line in options.lists.get("VIRTUALMOUNTPOINT", []) for path in line.split()]
    return list(dict.fromkeys([*kept, *named, *virtual, *(mount.path for mount in mounts())]))


def absolute(word: str) -> str:
    """Return a specification as a full path; a trailing separator and braces keep their meaning."""
    if word.startswith(("{", "/")):
        return word
    return os.path.join(os.getcwd(), word)


def read_filelist(path: Path) -> list[str]:
    """Return the names in a -FILELIST: one a line, quoted or not, no wildcards. Raises ``InputError``."""
    names = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        name = line.strip()
        if not name:
            continue
        if name[0] in "\"'":
            if len(name) < 2 or name[-1] != name[0]:
                remedy = f"end it with {name[0]}"
                raise InputError(
                    f"the quote {name[0]} is not closed", file=str(path), line=number, column=1, remedy=remedy
                )
            name = name[1:-1]
        if not name.startswith(("/", "{")):
            raise InputError(
                f"{name!r} is not a full path", file=str(path), line=number, column=1, remedy="one full path a line"
            )
        names.append(name)
    if not names:
        raise InputError("the file list names nothing", file=str(path), remedy="one full path a line")
    return names
