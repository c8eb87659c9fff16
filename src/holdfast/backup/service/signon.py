"""Sign-on: from the first message to an open session, the same for clients, administrators and servers.

The reply to an unknown name looks like the reply to a known one; the proof then fails. What a failed sign-on was about
stands in the activity log only.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from holdfast.backup.service.catalog.schema import admins, nodes
from holdfast.backup.service.core import Core
from holdfast.backup.session import messages as m
from holdfast.backup.session.machine import Machine
from holdfast.backup.session.proof import NONCE_BYTES, SALT_BYTES, check, stored_key
from holdfast.kernel.errors import Refusal, Refused


@dataclass(frozen=True, slots=True)
class Principal:
    """Who was let in: the request that asked, the row of the node or administrator, and the session's number."""

    request: m.SignOn
    row: Any
    session: int


def sign_on(core: Core, machine: Machine, requests: Iterator[bytes], kind: str) -> Generator[bytes, None, Principal]:
    """Exchange the sign-on messages; a generator (for ``yield from``) that returns a :class:`Principal`."""
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
    if row is None or not isinstance(second, m.Proof) or not check(row.stored_key, second.proof, nonce, name):
        core.log("ANR0422W" if row is None else "ANR0424W", session=session, number=session, name=name)
        raise Refused(Refusal("authentication", f"sign-on of {name} refused", "check the name and its password"))
    return Principal(first, row, session)


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
