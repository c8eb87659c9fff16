"""The sessions of one server process: who is there, what has passed, and a way to end one.

A session that ends leaves its figures in the summary, one row for each kind of work it did; monitoring asks there what
was backed up when. Whatever a session had committed stays when it is cancelled.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from holdfast.backup.service.catalog.administration import summary
from holdfast.backup.service.processes import Process
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import Refusal, Refused

if TYPE_CHECKING:
    from holdfast.backup.service.core import Core


@dataclass(slots=True)
class SessionEntry:
    """One open session. ``kind`` is Node, Server or Admin; ``state`` Run while a request is worked on, else IdleW."""

    number: int
    kind: str
    name: str
    platform: str
    address: str
    started_ns: int
    state: str = "IdleW"
    last_ns: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    cancelled: bool = False
    told: bool = False
    """Whether the client itself told the activity log what it did."""
    objects: Counter[str] = field(default_factory=Counter)
    stored: Counter[str] = field(default_factory=Counter)
    """Objects and bytes by activity."""
    _archives: bool = False

    def sending(self, data: bytes) -> bytes:
        """Count what goes out; return it."""
        self.sent_bytes += len(data)
        return data

    def note(self, message: m.Message, reply: m.Message | None) -> None:
        """Count what a request and its reply say was done."""
        self.told = self.told or isinstance(message, m.Tell)
        if isinstance(message, m.Archive):
            self._archives = True
        elif isinstance(reply, m.Committed):
            activity = "ARCHIVE" if self._archives else "BACKUP"
            self.objects[activity] += reply.objects
            self.stored[activity] += reply.stored_bytes
            self._archives = False
        elif isinstance(reply, m.Fetched) and not reply.damage:
            self.objects["RESTORE"] += len(reply.names)
            self.stored["RESTORE"] += len(reply.data)


class SessionTable:
    """The open sessions by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, tuple[SessionEntry, object]] = {}

    def begin(self, entry: SessionEntry, requests: object) -> SessionEntry:
        """Enter a session; ``requests`` is what it reads from, which can end it."""
        with self._lock:
            self._open[entry.number] = (entry, requests)
        return entry

    def end(self, entry: SessionEntry) -> None:
        """Take a session off the table. Idempotent."""
        with self._lock:
            self._open.pop(entry.number, None)

    def running(self) -> list[SessionEntry]:
        """Return the open sessions in the order of their numbers."""
        with self._lock:
            return [self._open[number][0] for number in sorted(self._open)]

    def cancel(self, number: int) -> SessionEntry:
        """End a session. Raises ``Refused`` when there is none of that number."""
        with self._lock:
            found = self._open.get(number)
        if found is None:
            raise Refused(Refusal("not-found", f"session {number} is not open", "QUERY SESSION"))
        entry, requests = found
        entry.cancelled = True
        cancel = getattr(requests, "cancel", None)
        if cancel is not None:
            cancel()
        return entry


def reading(core: Core, entry: SessionEntry, requests: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the requests of a session, counting them, until it ends or is cancelled."""
    while True:
        entry.state, entry.last_ns = "IdleW", core.now_ns()
        data = next(requests, None)
        if data is None or entry.cancelled:
            return
        entry.state, entry.last_ns = "Run", core.now_ns()
        entry.received_bytes += len(data)
        yield data


_STATISTICS = {"BACKUP": "ANE4954I", "ARCHIVE": "ANE4953I", "RESTORE": ""}
"""How the activity log tells of the objects of an activity when the client itself said nothing of it."""


def finish(core: Core, entry: SessionEntry) -> None:
    """Take a session off the table and leave its figures in the summary."""
    core.sessions.end(entry)
    if entry.cancelled:
        core.log("ANR0483W", session=entry.number, number=entry.number, name=entry.name)
    for activity, id in _STATISTICS.items():
        if entry.objects[activity] and not entry.told:
            fields: dict[str, Any] = {"session": entry.number, "node": entry.name}
            if id:
                core.log(id, **fields, count=entry.objects[activity])
            core.log("ANE4961I", **fields, count=entry.stored[activity])
    rows = [
        {
            "start_ns": entry.started_ns,
            "end_ns": core.now_ns(),
            "activity": activity,
            "number": entry.number,
            "entity": entry.name,
            "address": entry.address,
            "affected": entry.objects[activity],
            "bytes": entry.stored[activity],
            "successful": int(not entry.cancelled),
        }
        for activity in sorted({*entry.objects, *entry.stored})
    ]
    if rows:
        with core.database.write() as connection:
            connection.execute(insert(summary), rows)


PROCESS_ACTIVITIES = {
    "backup stgpool": "STGPOOL BACKUP", "restore stgpool": "STGPOOL RESTORE", "expire inventory": "EXPIRATION",
    "migrate stgpool": "MIGRATION", "reclaim stgpool": "RECLAMATION", "move data": "MOVE DATA",
    "restore volume": "STGPOOL RESTORE", "audit volume": "AUDIT VOLUME", "reconcile volumes": "RECONCILE",
}  # fmt: skip
"""Which processes the summary knows, and how it calls them; BACKUP DB says itself whether it was full."""


def summarise_process(core: Core, name: str, process: Process, entity: str, full: bool, successful: bool) -> None:
    """Leave the figures of a process that ended in the summary."""
    activity = PROCESS_ACTIVITIES.get(name, "")
    if name == "backup db":
        activity = "FULL_DBBACKUP" if full else "INCR_DBBACKUP"
    if not activity:
        return
    row = {
        "start_ns": process.started_ns,
        "end_ns": core.now_ns(),
        "activity": activity,
        "number": process.number,
        "entity": entity,
        "affected": process.done,
        "bytes": process.done_bytes,
        "successful": int(successful),
    }
    with core.database.write() as connection:
        connection.execute(insert(summary), row)
