"""``dsmc restore`` and ``retrieve``: what comes back, picked from a list if a person wants to.

Without SUBDIR only what stands in the named directory comes. ``-inactive`` without ``-pick`` is the newest version of
everything, deleted objects too; ``-pick`` shows a numbered list and restores what is chosen from it.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.backup.model.clientmessages import text
from holdfast.backup.model.objects import Kind
from holdfast.backup.plan.filespec import FileSpec, parse_spec
from holdfast.backup.service.client.bringback import Landing, bring_back
from holdfast.backup.service.client.choose import Choice, chosen_archives, chosen_versions
from holdfast.backup.service.client.restore import RestoreFigures
from holdfast.backup.session import messages as m
from holdfast.dialects.tsm.dsmcdesk import ERROR, Desk
from holdfast.dialects.tsm.dsmcquery import version_row
from holdfast.dialects.tsm.render import restore_summary
from holdfast.kernel.errors import InputError

_PICKED = "Items to restore (numbers such as 1,3-5; * for all; nothing to stop): "


def restore(desk: Desk) -> int:
    """DSMC RESTORE file specification [destination]."""
    return _fetch(desk, archives=False)


def retrieve(desk: Desk) -> int:
    """DSMC RETRIEVE file specification [destination]: the same for archive objects."""
    return _fetch(desk, archives=True)


def _fetch(desk: Desk, *, archives: bool) -> int:
    what = "retrieve" if archives else "restore"
    words, destination = _words(desk, what)
    landing = Landing(destination, desk.read.options.get("PRESERVEPATH", "subtree").lower(), _replace(desk), desk.ask)
    total = RestoreFigures()
    for choice in _choices(desk, words):
        only = None
        if desk.read.has("PICK"):
            only = _pick(desk, choice, archives)
            if not only:
                continue
        done = bring_back(desk.session, choice, landing, archives=archives, only=only)
        _add(total, done)
    verb = "retrieved" if archives else "restored"
    desk.out.write(f"\n{what.capitalize()} processing finished.\n")
    desk.summary(restore_summary(total, verb))
    desk.complain(*total.failures)
    if not (total.objects or total.objects_left or total.objects_failed or desk.read.has("PICK")):
        desk.complain(text("ANS1302E", spec=words[0]))
        return ERROR
    return total.exit_code


def _words(desk: Desk, what: str) -> tuple[list[str], str]:
    words = desk.read.words
    if desk.read.options.get("FILELIST"):
        if len(words) > 1:
            raise InputError(
                "with -filelist only a destination can be named", remedy=f"dsmc {what} -filelist=F /tmp/x/"
            )
        return desk.specs(what), words[0] if words else ""
    if len(words) > 2:
        raise InputError(f"{what} takes one file specification and a destination", remedy="quote wildcards: '/VCS/*'")
    return desk.specs(what, words[:1]), words[1] if len(words) == 2 else ""


def _replace(desk: Desk) -> str:
    if desk.read.has("IFNEWER"):
        return "ifnewer"
    return desk.options.get("REPLACE") or ("prompt" if desk.ask is not None else "all")


def _choices(desk: Desk, words: list[str]) -> Iterator[Choice]:
    """Yield one choice per filespace that the words name."""
    known = desk.filespaces()
    by_filespace: dict[str, list[FileSpec]] = {}
    for word in words:
        spec = parse_spec(word, known, desk.subdir)
        by_filespace.setdefault(spec.filespace, []).append(spec)
    for specs in by_filespace.values():
        yield choice_of(desk, tuple(specs))


def choice_of(desk: Desk, specs: tuple[FileSpec, ...]) -> Choice:
    """Return what the options of the command line ask for."""
    read, pit = desk.read, desk.moment("PIT", late=True)
    inactive = read.has("INACTIVE") and read.has("PICK")
    return Choice(
        specs,
        pit,
        inactive,
        pit is None and not inactive and (read.has("LATEST") or read.has("INACTIVE")),
        desk.moment("FROM", late=False),
        desk.moment("TO", late=True),
        read.options.get("DESCRIPTION", "").strip("\"'"),
    )


def _pick(desk: Desk, choice: Choice, archives: bool) -> frozenset[int]:
    """Show what there is and ask for numbers; return the ids that were chosen."""
    if desk.ask is None:
        raise InputError("PICK needs a person at a terminal", remedy="name what to restore, or leave -pick out")
    listed: list[m.StoredVersion] = list(
        chosen_archives(desk.session, choice, contents=False, parents=False)
        if archives
        else chosen_versions(desk.session, choice, contents=False, parents=False)
    )
    listed = [version for version in listed if version.kind is not Kind.DIRECTORY]
    for number, version in enumerate(listed, 1):
        desk.out.write(f"{number:>6}. {'  '.join(version_row(desk, choice.filespace, version))}\n")
    if not listed:
        desk.complain(text("ANS1302E", spec=choice.filespace))
        return frozenset()
    while True:
        try:
            return frozenset(listed[number - 1].id for number in numbers(desk.ask(_PICKED), len(listed)))
        except ValueError as error:
            desk.out.write(f"{error}\n")


def numbers(answer: str, count: int) -> list[int]:
    """Return the numbers of ``1,3-5`` or ``*``. Raises ValueError for what is no number of the list."""
    if answer.strip() == "*":
        return list(range(1, count + 1))
    chosen: list[int] = []
    for part in answer.replace(",", " ").split():
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"{part} is no number of the list")
        low, high = int(first), int(last or first)
        if not 1 <= low <= high <= count:
            raise ValueError(f"{part} is no number from 1 to {count}")
        chosen.extend(range(low, high + 1))
    return chosen


def _add(total: RestoreFigures, done: RestoreFigures) -> None:
    total.objects += done.objects
    total.objects_left += done.objects_left
    total.objects_failed += done.objects_failed
    total.bytes += done.bytes
    total.transferred_bytes += done.transferred_bytes
    total.seconds = round(total.seconds + done.seconds, 3)
    total.failures.extend(done.failures)
