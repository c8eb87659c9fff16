"""Sign-on: from the first message to an open session, the same for clients, administrators and servers.

The reply to an unknown name looks like the reply to a known one; the proof then fails. What a failed sign-on was about
stands in the activity log only. Wrong proofs are counted: so many in a row lock the name (SET INVALIDPWLIMIT), and one
that comes too fast after others is not even looked at. That a name is locked, bound to other certificates or its
password too old is told only to one who knows the password.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from holdfast.backup.service.catalog.schema import admins, nodes
from holdfast.backup.service.core import Core, setting
from holdfast.backup.session import messages as m
from holdfast.backup.session.machine import Machine
from holdfast.backup.session.proof import NONCE_BYTES, SALT_BYTES, check, stored_key
from holdfast.kernel.errors import Refusal, Refused

_DAY_NS = 86_400 * 1_000_000_000
_PASSEXP_DAYS = "90"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who was let in: the request that asked, the row of the node or administrator, and the session's number."""

    request: m.SignOn
    row: Any
    session: int
    expired: bool = False


def sign_on(
    core: Core, machine: Machine, requests: Iterator[bytes], kind: str, caller: str = ""
) -> Generator[bytes, None, Principal]:
    """Exchange the sign-on messages; a generator (for ``yield from``) that returns a :class:`Principal`.

    ``caller`` is the name in the certificate that the session came with."""
    first = m.decode(next(requests, b"\x90"))
    machine.receive(first)
    assert isinstance(first, m.SignOn)
    name = first.name.upper()
    row = _find(core, name, kind)
    salt = row.salt if row is not None else os.urandom(SALT_BYTES)
    nonce = os.urandom(NONCE_BYTES)
    yield m.encode(m.Challenge(salt, nonce))
    second = m.decode(next(requests, b"\x90"))
    machine.receive(second)
    session = core.next_session()
    if core.attempts.too_fast(name, caller, core.now_ns()):
        core.log("ANR0424W", session=session, number=session, name=name)
        raise Refused(Refusal("authentication", f"sign-on of {name} refused", "too many attempts: wait a minute"))
    if row is None or not isinstance(second, m.Proof) or not check(row.stored_key, second.proof, nonce, name):
        core.attempts.wrong(name, caller, core.now_ns())
        core.log("ANR0422W" if row is None else "ANR0424W", session=session, number=session, name=name)
        if row is not None:
            _count_wrong(core, row, kind)
        raise Refused(Refusal("authentication", f"sign-on of {name} refused", "check the name and its password"))
    core.attempts.right(name, caller)
    return _admitted(core, Principal(first, row, session), kind, caller)


def _admitted(core: Core, who: Principal, kind: str, caller: str) -> Principal:
    """Return the principal who proved itself; refuses one who is locked or comes with a foreign certificate."""
    row, fields = who.row, {"session": who.session, "number": who.session, "name": who.row.name}
    if row.locked:
        core.log("ANR0430W", **fields)
        raise Refused(Refusal("authentication", f"{row.name} is locked", "an administrator unlocks it: UNLOCK"))
    with core.database.read() as connection:
        closed = kind != "ADMIN" and setting(connection, f"sessions_closed_{kind}")
        days = int(setting(connection, "passexp") or _PASSEXP_DAYS)
    if closed:
        core.log("ANR0429W", **fields)
        raise Refused(Refusal("disabled", "the server is disabled for new sessions", "ENABLE SESSIONS"))
    bound = "" if kind == "ADMIN" else row.certificates
    if bound and not any(fnmatch.fnmatchcase(caller, word) for word in bound.split(",")):
        core.log("ANR0423W", **fields, caller=caller)
        raise Refused(
            Refusal("authentication", f"{row.name} is bound to other certificates", "UPDATE NODE CERTIFICATE=")
        )
    table = admins if kind == "ADMIN" else nodes
    if row.passexp_days is not None:
        days = row.passexp_days
    if row.invalid:
        with core.database.write() as connection:
            connection.execute(update(table).where(table.c.name == row.name).values(invalid=0))
    dated = row.password_ns > 0 and kind != "SERVER"
    expired = dated and days > 0 and row.password_ns + days * _DAY_NS <= core.now_ns()
    return Principal(who.request, row, who.session, expired)


def _count_wrong(core: Core, row: Any, kind: str) -> None:
    """Count a wrong password; lock the name when there were too many. The server's own administrator is not locked
    by strangers: its password is a random one that nobody types."""
    table = admins if kind == "ADMIN" else nodes
    mine = table.c.name == row.name
    with core.database.write() as connection:
        limit = int(setting(connection, "invalidpwlimit") or 0)
        count = connection.execute(select(table.c.invalid).where(mine)).scalar_one() + 1
        locked = bool(limit) and count >= limit and not (kind == "ADMIN" and row.name == "ADMIN")
        connection.execute(update(table).where(mine).values(invalid=count, **({"locked": 1} if locked else {})))
    if locked:
        core.log("ANR2097I" if kind != "ADMIN" else "ANR2095I", name=row.name)


def _find(core: Core, name: str, kind: str) -> Any:
    table = admins if kind == "ADMIN" else nodes
    with core.database.read() as connection:
        row = connection.execute(select(table).where(table.c.name == name)).first()
    if row is None or (kind != "ADMIN" and row.type != kind):
        return None
    return row


def touch(core: Core, kind: str, name: str) -> None:
    """Note the time of access."""
    table = admins if kind == "ADMIN" else nodes
    with core.database.write() as connection:
        connection.execute(update(table).where(table.c.name == name).values(access_ns=core.now_ns()))


def credentials(password: bytes) -> dict[str, bytes]:
    """Return the columns that keep a password."""
    salt = os.urandom(SALT_BYTES)
    return {"salt": salt, "stored_key": stored_key(password, salt)}


def renew(core: Core, machine: Machine, node: str, message: m.ChangePassword) -> m.Message:
    """Change a node's password; a session that was open only for that is then open as any other."""
    reply = _change_password(core, node, message)
    if isinstance(reply, m.Done):
        machine.renewed()
    return reply


def _change_password(core: Core, node: str, message: m.ChangePassword) -> m.Message:
    """Keep what a node's client made of its new password; the password itself never leaves the client."""
    with core.database.read() as connection:
        shortest = int(setting(connection, "minpwlength") or 0)
    if message.length < shortest or len(message.salt) != SALT_BYTES or len(message.stored_key) != 32:
        return m.Failed(
            message.seq, "invalid", f"ANR2138E the password needs {shortest} characters", "choose a longer one"
        )
    values = {"salt": message.salt, "stored_key": message.stored_key, "password_ns": core.now_ns(), "invalid": 0}
    with core.database.write() as connection:
        connection.execute(update(nodes).where(nodes.c.name == node).values(values))
    core.log("ANR2063I", name=node)
    return m.Done(message.seq)
