"""``dsmc delete``, ``expire`` and ``set``: what is taken away, and who may see what is kept.

``expire`` makes active versions inactive, which every node may; ``delete`` removes, which policy allows or not
(BACKDELETE, ARCHDELETE), and asks first unless NOPROMPT. ``set access`` lets another node restore.
"""

from __future__ import annotations

from holdfast.backup.model.clientmessages import text
from holdfast.backup.plan.filespec import parse_spec
from holdfast.backup.service.client.choose import Choice, chosen_archives, chosen_versions, delete_chosen
from holdfast.backup.session import messages as m
from holdfast.dialects.tsm.dsmcdesk import ERROR, OK, Desk
from holdfast.dialects.tsm.dsmcquery import full_path
from holdfast.dialects.tsm.dsmcwords import DELETIONS, KINDS, SETTINGS, full_word
from holdfast.kernel.errors import InputError

_TYPES = ("ACTIVE", "INACTIVE", "ALL")


def delete(desk: Desk) -> int:
    """DSMC DELETE ARCHIVE|BACKUP file specification, DELETE FILESPACE name, DELETE ACCESS number."""
    words = desk.read.words
    kind = full_word(words[0] if words else "", DELETIONS, before="delete")
    if kind == "access":
        return _delete_access(desk)
    if kind == "filespace":
        return _delete_filespace(desk)
    specs = desk.specs(f"delete {kind}", words[1:])
    known = desk.filespaces()
    gone = 0
    for word in specs:
        spec = parse_spec(word, known, desk.subdir)
        gone += _delete_versions(desk, Choice((spec,), inactive=True), archives=kind == "archive")
    if not gone:
        desk.complain(text("ANS1345E", spec=specs[0]))
        return ERROR
    desk.out.write(f"\nTotal number of objects deleted: {gone:,}\n")
    return OK


def _delete_versions(desk: Desk, choice: Choice, *, archives: bool) -> int:
    chosen: dict[int, bytes] = {}
    if archives:
        description = desk.read.options.get("DESCRIPTION", "").strip("\"'")
        for found in chosen_archives(desk.session, choice, contents=False, parents=False):
            if not description or found.description == description:
                chosen[found.id] = found.key
    else:
        kind = _deltype(desk)
        for version in chosen_versions(desk.session, choice, contents=False, parents=False):
            if kind == "ALL" or (kind == "ACTIVE") == (version.inactive_ns is None):
                chosen[version.id] = version.key
    if not chosen or not desk.confirm(f"Delete {len(chosen)} objects of {choice.filespace}?"):
        return 0
    gone = delete_chosen(desk.session, choice.filespace, chosen, archives=archives)
    if desk.say is not None:
        for key in chosen.values():
            desk.say(f"Deleting-->  {full_path(choice.filespace, key)}")
    return gone


def _deltype(desk: Desk) -> str:
    typed = desk.read.options.get("DELTYPE", "ACTIVE").upper()
    found = [name for name in _TYPES if name.startswith(typed)]
    if len(found) != 1 and typed not in _TYPES:
        raise InputError(f"ANS1107E Invalid option/value: DELTYPE={typed}", remedy=", ".join(_TYPES))
    return typed if typed in _TYPES else found[0]


def _delete_filespace(desk: Desk) -> int:
    if len(desk.read.words) != 2:
        raise InputError("delete filespace needs one name", remedy="dsmc delete filespace /VCS")
    name = desk.read.words[1].strip("{}")
    if not desk.confirm(f"Delete filespace {name} and everything kept of it?"):
        return OK
    desk.session.call(lambda seq: m.DropFilespace(seq, name))
    desk.out.write(f"Filespace {name} was deleted.\n")
    return OK


def _delete_access(desk: Desk) -> int:
    numbers = [word for word in desk.read.words[1:] if word.isdigit()]
    if not numbers or len(numbers) != len(desk.read.words) - 1:
        raise InputError("delete access needs the numbers of rules", remedy="dsmc query access")
    for number in numbers:
        desk.session.call(lambda seq, n=int(number): m.Revoke(seq, n))  # type: ignore[misc]
    return OK


def expire(desk: Desk) -> int:
    """DSMC EXPIRE file specification ...: active versions become inactive."""
    known = desk.filespaces()
    gone = 0
    for word in desk.specs("expire"):
        spec = parse_spec(word, known, desk.subdir)
        keys = [v.key for v in chosen_versions(desk.session, Choice((spec,)), contents=False, parents=False)]
        if not keys or not desk.confirm(f"Expire {len(keys)} objects of {spec.filespace}?"):
            continue
        desk.session.call(lambda seq, n=spec.filespace: m.OpenFilespace(seq, n, "", whole=False))  # type: ignore[misc]
        desk.session.send(m.Expire(tuple(keys)))
        desk.session.call(lambda seq: m.Commit(seq, end=True))
        gone += len(keys)
        for key in keys if desk.say is not None else ():
            desk.out.write(f"Expiring-->  {full_path(spec.filespace, key)}\n")
    if not gone:
        desk.complain(text("ANS1302E", spec=desk.read.words[0] if desk.read.words else ""))
        return ERROR
    desk.out.write(f"\nTotal number of objects expired: {gone:,}\n")
    return OK


def set_(desk: Desk) -> int:
    """DSMC SET ACCESS BACKUP|ARCHIVE file specification node."""
    words = desk.read.words
    full_word(words[0] if words else "", SETTINGS, before="set")
    if len(words) != 4:
        raise InputError("set access needs a kind, files and a node", remedy="dsmc set access backup '/VCS/*/*' NODE2")
    kind, pattern, node = full_word(words[1], KINDS, before="set access"), words[2], words[3]
    desk.session.call(lambda seq: m.Grant(seq, kind, pattern, node))
    desk.out.write(f"Node {node.upper()} may restore {kind}s of {pattern}.\n")
    return OK
