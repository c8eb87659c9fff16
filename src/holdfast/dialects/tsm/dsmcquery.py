"""``dsmc query``: what the server keeps, what the options say, what policy allows.

``query backup`` shows active versions, with ``-inactive`` all of them; without SUBDIR only what stands in the named
directory. Nothing found is ANS1302E and exit code 12, so that scripts can tell.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from holdfast.backup.model.clientmessages import text
from holdfast.backup.model.objects import path_of, printable
from holdfast.backup.model.policy import NOLIMIT, ClassBinding
from holdfast.backup.plan.expiration import DAY_NS
from holdfast.backup.plan.filespec import parse_spec
from holdfast.backup.plan.retention import retention_days
from holdfast.backup.service.client.choose import (
    Choice,
    chosen_archives,
    chosen_versions,
    list_access,
    list_classes,
    list_filespaces,
)
from holdfast.backup.session import messages as m
from holdfast.dialects.tsm.dsmcdesk import ERROR, OK, Desk
from holdfast.dialects.tsm.dsmcwords import QUERIES, full_word
from holdfast.dialects.tsm.render import table
from holdfast.kernel.errors import InputError

_FUNCTIONS = {"file": "All", "archive": "Archive", "directory": "Directory", "filespace": "Filespace"}


def query(desk: Desk) -> int:
    """DSMC QUERY what ...."""
    words = desk.read.words
    kind = full_word(words[0] if words else "", QUERIES, before="query")
    queries: dict[str, Callable[[Desk], int]] = {
        "backup": _backup,
        "archive": _archive,
        "filespace": _filespace,
        "inclexcl": _inclexcl,
        "mgmtclass": _mgmtclass,
        "options": _options,
        "session": _session,
        "schedule": _schedule,
        "access": _access,
    }
    return queries[kind](desk)


def version_row(desk: Desk, filespace: str, version: m.StoredVersion) -> tuple[str, ...]:
    """Return size, date, class, state and path of a version, or of an archive object."""
    path = full_path(filespace, version.key)
    stored = desk.stamp(version.stored_ns)
    size = f"{version.stat.size:,}  B"
    if isinstance(version, m.StoredArchive):
        return size, stored, version.mgmtclass, path, version.description
    return size, stored, version.mgmtclass, "A" if version.inactive_ns is None else "I", path


def full_path(filespace: str, key: bytes) -> str:
    """Return an object's path for people."""
    return printable(os.fsencode(filespace.rstrip("/")) + b"/" + path_of(key))


def _choice(desk: Desk, what: str) -> Choice:
    words = desk.specs(f"query {what}", desk.read.words[1:])
    known = desk.filespaces()
    specs = tuple(parse_spec(word, known, desk.subdir) for word in words)
    if len({spec.filespace for spec in specs}) > 1:
        raise InputError("the specifications lie in different filespaces", remedy="ask for one filespace at a time")
    pit = desk.moment("PIT", late=True)
    inactive = desk.read.has("INACTIVE") and pit is None
    bounds = desk.moment("FROM", late=False), desk.moment("TO", late=True)
    return Choice(specs, pit, inactive, False, *bounds, desk.read.options.get("DESCRIPTION", "").strip("\"'"))


def _backup(desk: Desk) -> int:
    choice = _choice(desk, "backup")
    listed = chosen_versions(desk.session, choice, contents=False, parents=False)
    rows = [version_row(desk, choice.filespace, version) for version in listed]
    return _shown(desk, ("Size", "Backup Date", "Mgmt Class", "A/I", "File"), rows, desk.read.words[1])


def _archive(desk: Desk) -> int:
    choice = _choice(desk, "archive")
    classes = {binding.name: binding for binding in list_classes(desk.session)}
    rows = []
    for version in chosen_archives(desk.session, choice, contents=False, parents=False):
        size, stored, _, path, description = version_row(desk, choice.filespace, version)
        rows.append((size, stored, path, _expires(desk, version, classes), description))
    return _shown(desk, ("Size", "Archive Date", "File", "Expires on", "Description"), rows, desk.read.words[1])


def _expires(desk: Desk, version: m.StoredVersion, classes: dict[str, ClassBinding]) -> str:
    days = retention_days(classes, version.mgmtclass)
    return "Never" if days >= NOLIMIT else desk.stamp(version.stored_ns + days * DAY_NS)


def _shown(desk: Desk, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], spec: str) -> int:
    if not rows:
        desk.complain(text("ANS1302E", spec=spec))
        return ERROR
    desk.out.write(table(columns, rows) + "\n")
    return OK


def _filespace(desk: Desk) -> int:
    listed = list_filespaces(desk.session)
    rows = [(str(n), desk.stamp(row.ended_ns), row.type, row.name) for n, row in enumerate(listed, 1)]
    return _shown(desk, ("#", "Last Incr Date", "Type", "File Space Name"), rows, "filespace")


def _inclexcl(desk: Desk) -> int:
    desk.out.write("*** FILE INCLUDE/EXCLUDE ***\nMode Function  Pattern (match from top down)  Source File\n")
    desk.out.write("---- --------- ------------------------------ -----------------\n")
    for statement in desk.options.rules().evaluation_order():
        mode = "Incl" if statement.include else "Excl"
        function = _FUNCTIONS[statement.scope.value]
        desk.out.write(f"{mode} {function:<9} {statement.pattern:<30} {statement.source}\n")
    return OK


def _mgmtclass(desk: Desk) -> int:
    for binding in list_classes(desk.session):
        desk.out.write(f"MgmtClass Name                  : {binding.name}\n")
        desk.out.write(f"Default                         : {'Yes' if binding.default else 'No'}\n")
        for line in _groups(binding) if desk.read.has("DETAIL") else ():
            desk.out.write(f"  {line}\n")
        desk.out.write("\n")
    return OK


def _groups(binding: ClassBinding) -> list[str]:
    """Return the copy groups of a class, a line per parameter."""
    lines = []
    if (backup := binding.backup) is not None:
        lines += [
            ("Copy Group Name", "STANDARD"),
            ("Copy Type", "Backup"),
            ("Copy Frequency", f"{backup.frequency_days} day(s)"),
            ("Versions Data Exists", _count(backup.verexists, "version(s)")),
            ("Versions Data Deleted", _count(backup.verdeleted, "version(s)")),
            ("Retain Extra Versions", _count(backup.retextra_days, "day(s)")),
            ("Retain Only Version", _count(backup.retonly_days, "day(s)")),
            ("Copy Serialization", backup.serialization),
            ("Copy Mode", backup.mode),
            ("Copy Destination", backup.destination),
        ]
    if (archive := binding.archive) is not None:
        lines += [
            ("Copy Group Name", "STANDARD"),
            ("Copy Type", "Archive"),
            ("Retain Version", _count(archive.retver_days, "day(s)")),
            ("Copy Destination", archive.destination),
        ]
    return [f"{name:<30}: {value}" for name, value in lines]


def _count(value: int, unit: str) -> str:
    return "No Limit" if value >= NOLIMIT else f"{value} {unit}"


def _options(desk: Desk) -> int:
    """Every option in effect; DOMAIN and the other lists with all their statements."""
    found = {**desk.options.values, **{name: " ".join(lines) for name, lines in desk.options.lists.items()}}
    pattern = desk.read.words[1].upper().rstrip("*") if len(desk.read.words) > 1 else ""
    for name in sorted(found):
        if name.startswith(pattern):
            desk.out.write(f"{name:>24}: {found[name]}\n")
    return OK


def _session(desk: Desk) -> int:
    welcome = desk.session.welcome
    rows = [
        ("Server Name", welcome.server),
        ("Server Type", "Linux"),
        ("Server Version", welcome.level),
        ("Last Access Date", desk.stamp(welcome.last_access_ns)),
        ("Node Name", desk.login.node),
        ("User Name", ""),
    ]
    desk.out.write("Server Information\n" + "".join(f"{name:<26}: {value}\n" for name, value in rows))
    return OK


def _schedule(desk: Desk) -> int:
    """Every schedule of the node, the next to start first."""
    reply = desk.session.call(lambda seq: m.QuerySchedules(seq, looking=True))
    assert isinstance(reply, m.Schedules)
    for row in reply.rows:
        facts = (
            ("Schedule Name", row.name),
            ("Description", row.description),
            ("Schedule Style", row.style),
            ("Action", row.action.capitalize()),
            ("Options", row.options),
            ("Objects", row.objects),
            ("Priority", str(row.priority)),
            ("Next Execution", desk.stamp(row.assigned_ns)),
            ("Duration", row.duration),
            ("Period", row.period),
            ("Day of Week", row.days),
            ("Expire", row.expiration or "Never"),
        )
        desk.out.write("".join(f"{name:>20}: {value}".rstrip() + "\n" for name, value in facts) + "\n")
    if not reply.rows:
        desk.complain(text("ANS1816I"))
    return OK


def _access(desk: Desk) -> int:
    rows = [(str(rule.number), rule.kind.capitalize(), rule.node, rule.pattern) for rule in list_access(desk.session)]
    return _shown(desk, ("#", "Type", "Node", "Path"), rows, "access")
