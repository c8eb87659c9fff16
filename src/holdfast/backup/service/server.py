"""The server's door: three kinds of sessions over one transport, each a sign-on and then a loop over its machine.

``backup`` for clients, ``vault`` for other servers, ``admin`` for administrators. The state machine decides what may
come; the rooms behind (``ingest``, ``egress``, ``vault``, ``admin``) only carry out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec
from sqlalchemy import update

from holdfast.backup.model import messages
from holdfast.backup.model.policy import ClassBinding
from holdfast.backup.service.admin.optionsets import options_of
from holdfast.backup.service.catalog.policy import classes_of
from holdfast.backup.service.catalog.schema import nodes
from holdfast.backup.service.claims import SESSIONS
from holdfast.backup.service.clientrequests import ClientRequests, Request
from holdfast.backup.service.core import Core
from holdfast.backup.service.databasebackup import drop_scratch
from holdfast.backup.service.egress import Egress
from holdfast.backup.service.ingest import Ingest
from holdfast.backup.service.keys import chunk_key
from holdfast.backup.service.schedules import NodeSchedules
from holdfast.backup.service.sessions import SessionEntry, finish, reading
from holdfast.backup.service.signon import Principal, renew, sign_on, touch
from holdfast.backup.service.told import note
from holdfast.backup.service.vault import Vault, recover_interrupted
from holdfast.backup.session import messages as m
from holdfast.backup.session.machine import Machine, State
from holdfast.kernel.errors import Refusal, Refused
from holdfast.runtime.rpc import Methods

RunOperation = Callable[[Core, str, m.Run], m.Outcome]
"""Carries out one administrative operation: core, administrator, request."""
_SWEEP_TIMEOUT_S = 600.0
LEVEL = "Version 0, Release 1, Level 0.0"


class Server:
    """Binds a core to the transport."""

    def __init__(self, core: Core, run_operation: RunOperation) -> None:
        self._core, self._run_operation = core, run_operation

    def methods(self) -> Methods:
        """Return what the transport serves."""
        return Methods(stream={"backup": self.backup, "vault": self.vault, "admin": self.admin})

    def recover(self, address: str) -> None:
        """Restart recovery: settle what a kill left open, then announce."""
        self._core.log("ANR0990I")
        recover_interrupted(self._core)
        drop_scratch(self._core)
        self._core.log("ANR8200I", address=address)
        self._core.log("ANR0993I")

    def backup(self, requests: Iterator[bytes], caller: str) -> Iterator[bytes]:
        """Serve one client session: backup, query, restore."""
        core, machine = self._core, Machine()
        who = yield from sign_on(core, machine, requests, "CLIENT", caller)
        node = who.row.name
        with core.database.read() as connection:
            classes = classes_of(connection, who.row.domain)
        yield m.encode(self._welcome(who, classes))
        machine.welcome(State.EXPIRED if who.expired else State.CLIENT)
        self._note(who)
        core.log("ANR0406I", session=who.session, number=who.session, name=node, platform=who.request.platform)
        ingest, egress = Ingest(core, node, who.session, classes), Egress(core, node)
        calendar = NodeSchedules(core, node)
        others = ClientRequests(core, node, classes, egress)
        entry = self._enter(who, "Node", caller, requests)
        core.claims.take(SESSIONS, shared=True, timeout_s=_SWEEP_TIMEOUT_S)
        try:
            for data in reading(core, entry, requests):
                message = m.decode(data)
                machine.receive(message)
                if machine.state is State.CLOSED:
                    break
                if isinstance(message, m.ChangePassword):
                    reply: m.Message | None = renew(core, machine, node, message)
                elif isinstance(message, m.Tell):
                    note(core, node, who.session, message)
                    reply = None
                elif isinstance(message, Request):
                    reply = others.handle(message)
                else:
                    reply = _serve_client(message, ingest, egress, calendar)
                entry.note(message, reply)
                if reply is not None:
                    yield entry.sending(m.encode(reply))
        except Refused as refused:
            core.log("ANR0440W", session=who.session, number=who.session, name=node, reason=refused.refusal.reason)
            raise
        finally:
            core.claims.give(SESSIONS)
            ingest.close()
            finish(core, entry)
            core.log("ANR0403I", session=who.session, number=who.session, name=node, platform=who.request.platform)

    def _enter(self, who: Principal, kind: str, caller: str, requests: Iterator[bytes]) -> SessionEntry:
        platform = who.request.platform
        entry = SessionEntry(who.session, kind, who.row.name, platform, caller, self._core.now_ns())
        return self._core.sessions.begin(entry, requests)

    def _welcome(self, who: Principal, classes: list[ClassBinding]) -> m.Welcome:
        bound = [self._bound(binding) for binding in classes]
        return m.Welcome(
            self._core.name,
            who.session,
            classes=tuple(bound),
            server_time_ns=self._core.now_ns(),
            last_access_ns=who.row.access_ns,
            level=LEVEL,
            options=options_of(self._core, who.row.name),
            password_expired=who.expired,
        )

    def _bound(self, binding: ClassBinding) -> m.BoundClass:
        backup, archive = binding.backup, binding.archive
        pools = [group.destination if group is not None else "" for group in (backup, archive)]
        naming = [chunk_key(self._core.keys.pool(pool).naming) if pool else b"" for pool in pools]
        bound = m.BoundClass(
            binding.name, binding.default, pools[0], naming[0], archive_pool=pools[1], archive_naming=naming[1]
        )
        if backup is None:
            return bound
        return msgspec.structs.replace(
            bound, mode=backup.mode, frequency_days=backup.frequency_days, serialization=backup.serialization
        )

    def _note(self, who: Principal) -> None:
        touch(self._core, "NODE", who.row.name)
        with self._core.database.write() as connection:
            mine = nodes.c.name == who.row.name
            connection.execute(update(nodes).where(mine).values(platform=who.request.platform))

    def vault(self, requests: Iterator[bytes], caller: str) -> Iterator[bytes]:
        """Serve one session of a source server; read-only unless its verification code is the one kept here."""
        core, machine = self._core, Machine()
        who = yield from sign_on(core, machine, requests, "SERVER", caller)
        state = self._verify(who)
        yield m.encode(
            m.Welcome(core.name, who.session, state.value.removeprefix("server, "), server_time_ns=core.now_ns())
        )
        machine.welcome(state)
        touch(core, "NODE", who.row.name)
        core.log("ANR0408I", session=who.session, number=who.session, name=who.row.name, mode=state.value)
        vault = Vault(core, who.row.name, who.row.domain)
        entry = self._enter(who, "Server", caller, requests)
        try:
            for data in reading(core, entry, requests):
                message = m.decode(data)
                reply = _serve_source(machine, vault, message)
                if machine.state is State.CLOSED:
                    break
                if reply is not None:
                    yield entry.sending(m.encode(reply))
        finally:
            vault.close()
            finish(core, entry)
            core.log("ANR0409I", session=who.session, number=who.session, name=who.row.name)

    def _verify(self, who: Principal) -> State:
        core, request = self._core, who.request
        fields = {"session": who.session, "number": who.session, "name": who.row.name}
        if request.verification and (request.reset or who.row.verification is None):
            with core.database.write() as connection:
                mine = nodes.c.name == who.row.name
                connection.execute(update(nodes).where(mine).values(verification=request.verification))
            core.log("ANR4374I" if request.reset else "ANR4376I", **fields)
            return State.READ_WRITE
        if request.verification and request.verification == who.row.verification:
            return State.READ_WRITE
        core.log("ANR4373W", **fields)
        return State.READ_ONLY

    def admin(self, requests: Iterator[bytes], caller: str) -> Iterator[bytes]:
        """Serve one administrator's session."""
        core, machine = self._core, Machine()
        who = yield from sign_on(core, machine, requests, "ADMIN", caller)
        yield m.encode(m.Welcome(core.name, who.session, server_time_ns=core.now_ns(), level=LEVEL))
        machine.welcome(State.ADMIN)
        touch(core, "ADMIN", who.row.name)
        core.log("ANR0407I", session=who.session, number=who.session, name=who.row.name)
        entry = self._enter(who, "Admin", caller, requests)
        try:
            for data in reading(core, entry, requests):
                message = m.decode(data)
                machine.receive(message)
                if not isinstance(message, m.Run):
                    break
                outcome = self._answer(who, message)
                if who.expired and outcome.code == 0:
                    who = replace(who, expired=False)
                yield entry.sending(m.encode(outcome))
        finally:
            finish(core, entry)
            core.log("ANR0405I", session=who.session, number=who.session, name=who.row.name)

    def _answer(self, who: Principal, message: m.Run) -> m.Outcome:
        """Carry a command out; with an expired password only the one that changes it."""
        if message.operation != "query console":
            self._core.log("ANR2017I", session=who.session, name=who.row.name, text=message.text)
        if who.expired and not _renews(who.row.name, message):
            text = messages.text("ANR0425W", number=who.session, name=who.row.name)
            return m.Outcome(message.seq, 9, (text, "remedy: UPDATE ADMIN with a new password"))
        return self._run_operation(self._core, who.row.name, message)


def _renews(admin: str, message: m.Run) -> bool:
    """Return whether a command changes the administrator's own password."""
    return (
        message.operation == "update admin"
        and message.args.get("name", "").upper() == admin
        and "password" in message.args
    )


def _serve_client(message: m.Message, ingest: Ingest, egress: Egress, calendar: NodeSchedules) -> m.Message | None:
    match message:
        case m.Group():
            ingest.group(message)
        case m.Versions() | m.Archive() | m.Expire() | m.Rebind():
            ingest.stage(message)
        case m.Have():
            return ingest.have(message)
        case m.ListActive():
            return ingest.page(message)
        case m.Commit():
            return ingest.commit(message)
        case m.OpenFilespace():
            return ingest.open(message)
        case m.ListFilespaces():
            return egress.filespaces(message)
        case m.ListVersions():
            return egress.versions(message)
        case m.Locate():
            return egress.locate(message)
        case m.Fetch():
            return egress.fetch(message)
        case m.QuerySchedules() | m.ReportEvent():
            return calendar.handle(message)
        case _:
            raise Refused(Refusal("protocol", f"ANR0440W {type(message).__name__} is not served here"))
    return None


def _serve_source(machine: Machine, vault: Vault, message: m.AnyMessage) -> m.Message | None:
    """Carry out a source's message; a refusal of one that carries ``seq`` is an answer and the session goes on."""
    try:
        machine.receive(message)
        return vault.handle(message) if machine.state is not State.CLOSED else None
    except Refused as refused:
        seq = getattr(message, "seq", None)
        if seq is None or refused.refusal.code == "protocol":
            raise
        if machine.state is State.WRITING and isinstance(message, m.OpenVolume):
            machine.state = State.READ_WRITE
        return m.Failed(seq, refused.refusal.code, refused.refusal.reason, refused.refusal.remedy)
