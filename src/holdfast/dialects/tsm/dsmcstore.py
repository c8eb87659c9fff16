"""``dsmc incremental``, ``selective``, ``archive`` and ``preview``: what goes to the server.

An incremental without words covers the DOMAIN. A word that is a filespace is taken whole; one that lies inside a
filespace that the node already has, or has a wildcard, is an incremental of that part.
"""

from __future__ import annotations

import datetime
import os

from holdfast.backup.model.clientmessages import text
from holdfast.backup.model.objects import Kind, path_of, printable
from holdfast.backup.plan.domain import resolve
from holdfast.backup.plan.filespec import FileSpec, parse_spec
from holdfast.backup.plan.inclexcl import Decision, Rules
from holdfast.backup.service.client import namedfiles
from holdfast.backup.service.client.delivery import Terms
from holdfast.backup.service.client.incremental import Figures
from holdfast.backup.service.client.namedfiles import absolute, archiving, run_named
from holdfast.backup.service.client.run import mounts, run_session, sources
from holdfast.backup.service.client.walk import Judge, Walk
from holdfast.dialects.tsm.dsmcdesk import OK, Desk
from holdfast.dialects.tsm.dsmcwords import PREVIEWS, full_word
from holdfast.dialects.tsm.render import backup_summary
from holdfast.kernel.errors import InputError


def incremental(desk: Desk) -> int:
    """DSMC INCREMENTAL [filespace | file specification ...]."""
    words = [absolute(word) for word in desk.read.words]
    if desk.read.options.get("FILELIST"):
        words = desk.specs("incremental")
    whole, parts = _split(desk, words)
    total = Figures()
    if whole or not parts:
        chosen = sources(desk.options, whole, _roots(desk, whole))
        total.add(run_session(desk.session, desk.options, chosen, desk.say, desk.login.open).total)
    if parts:
        total.add(run_named(desk.session, desk.options, parts, namedfiles.partial, desk.say, subdir=desk.subdir))
    return _finish(desk, total)


def _split(desk: Desk, words: list[str]) -> tuple[list[str], list[str]]:
    """Return which words are filespaces and which are parts of one."""
    if not words:
        return [], []
    known = {*desk.filespaces(), *resolve(desk.options.lists.get("DOMAIN", []), [])} - {"/"}
    whole: list[str] = []
    parts: list[str] = []
    for word in words:
        inside = any(word.rstrip("/").startswith(name + "/") for name in known) and word.rstrip("/") not in known
        mounted = os.path.isdir(word) and os.path.ismount(word)
        (whole if os.path.isdir(word) and (mounted or not inside) else parts).append(word)
    return whole, parts


def _roots(desk: Desk, whole: list[str]) -> dict[str, str]:
    """``-snapshotroot=/mnt/copy`` belongs to the one filespace that is named."""
    root = desk.read.options.get("SNAPSHOTROOT", "")
    if not root:
        return {}
    if len(whole) != 1:
        raise InputError(
            "SNAPSHOTROOT needs exactly one filespace", remedy="dsmc incremental /VCS -snapshotroot=/mnt/copy"
        )
    return {whole[0].rstrip("/") or "/": root}


def selective(desk: Desk) -> int:
    """DSMC SELECTIVE file specification ...: stored whether changed or not."""
    words = desk.specs("selective")
    done = run_named(desk.session, desk.options, words, namedfiles.selective, desk.say, subdir=desk.subdir)
    return _finish(desk, done)


def archive(desk: Desk) -> int:
    """DSMC ARCHIVE file specification ... -DESCRIPTION= -ARCHMC= -DELETEFILES."""
    words, options = desk.specs("archive"), desk.read.options
    default = f"Archive Date: {datetime.date.today().strftime('%m/%d/%Y')}"
    terms = Terms(True, options.get("DESCRIPTION", "").strip("\"'") or default, options.get("ARCHMC", ""))
    run = archiving(terms, desk.read.has("DELETEFILES"))
    done = run_named(desk.session, desk.options, words, run, desk.say, subdir=desk.subdir, archive=True)
    return _finish(desk, done, "archived")


def _finish(desk: Desk, done: Figures, verb: str = "backed up") -> int:
    desk.summary(backup_summary(done, verb))
    desk.complain(*done.errors, *done.warnings, *done.failures)
    return done.exit_code


def preview(desk: Desk) -> int:
    """DSMC PREVIEW BACKUP|ARCHIVE file specification: what the include-exclude list would do, and why."""
    words = desk.read.words
    kind = full_word(words[0] if words else "", PREVIEWS, before="preview")
    rules = desk.options.rules()
    known = [*resolve(desk.options.lists.get("DOMAIN", []), []), *(mount.path for mount in mounts())]
    lines = []
    for word in desk.specs(f"preview {kind}", words[1:]):
        spec = parse_spec(word, known, subdir=desk.options.get("SUBDIR", "yes").lower().startswith("y"))
        lines += _previewed(desk, spec, rules, kind == "archive")
    name = desk.read.options.get("FILENAME", "")
    if name:
        with open(name, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{line}\n" for line in lines)
        desk.out.write(f"{len(lines)} objects written to {name}\n")
    else:
        desk.out.write("".join(f"{line}\n" for line in lines))
    return OK


def _previewed(desk: Desk, spec: FileSpec, rules: Rules, archiving: bool) -> list[str]:
    """Return a line per object: whether it counts, its class, the pattern that decided."""
    decide = rules.archive if archiving else rules.file
    judge = Judge(lambda path: archiving or rules.directory(path).included, lambda _path: Decision(True))
    walk = Walk(os.fsencode(spec.filespace), (spec,), judge, "", desk.complain)
    lines = []
    for found in walk.found():
        if found.kind is Kind.UNREADABLE:
            continue
        path = os.fsdecode(os.fsencode(spec.filespace.rstrip("/")) + b"/" + path_of(found.key))
        decision = Decision(True) if found.kind is Kind.DIRECTORY else decide(path)
        state = "Included" if decision.included else "Excluded"
        reason = decision.statement.pattern if decision.statement is not None else "-"
        lines.append(f"{state}  {decision.mgmtclass or 'DEFAULT':<16}  {reason:<30}  {printable(os.fsencode(path))}")
    if not lines:
        desk.complain(text("ANS4005E", path=f"{spec.filespace.rstrip('/')}/{spec.last}"))
    return lines
