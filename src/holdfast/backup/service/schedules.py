"""Schedules between the catalog and the pure plan: rows into timings, events on and off the record, a node's turns.

What a client is told (``QuerySchedules``) and what it reports (``ReportEvent``) end here; the commands of
administrators stand in ``admin.schedules``, the server's own loop in ``manager``.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from holdfast.backup.model.schedules import (
    DAYS_OF_WEEK,
    MONTHS,
    REPORTED,
    WEEKDAYS,
    EventStatus,
    Recorded,
    Timing,
    Window,
)
from holdfast.backup.plan.schedules import FOREVER, Turn, open_window, spread, turn
from holdfast.backup.service.catalog.administration import associations, contacts, events, schedules
from holdfast.backup.service.catalog.schema import nodes
from holdfast.backup.service.core import Core, set_setting, setting
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import Refusal, Refused

_NS = 1_000_000_000
_UNITS = {"MINUTES": "minutes", "HOURS": "hours", "DAYS": "days"}
SETTINGS = {
    "schedmodes": "ANY", "randomize": "25", "queryschedperiod": "", "maxcmdretries": "", "retryperiod": "",
    "eventretention": "14", "actlogretention": "30", "summaryretention": "30", "clientactduration": "5",
}  # fmt: skip
"""Settings of the scheduler and their values at installation; an empty one is the client's to choose. [K]"""
_REASON_CHARACTERS = 1_000


def wall(at_ns: int) -> datetime.datetime:
    """Return the server's wall clock at a time."""
    return datetime.datetime.fromtimestamp(at_ns / _NS)


def wall_ns(at: datetime.datetime) -> int:
    """Return the time at which the server's wall clock shows ``at``; a far one for the end of days."""
    return 2**62 if at == FOREVER else int(at.timestamp()) * _NS


def read_setting(connection: Connection, name: str) -> str:
    """Return a setting of the scheduler, or its value at installation."""
    return setting(connection, name) or SETTINGS[name]


def write_setting(connection: Connection, name: str, value: str) -> None:
    """Write a setting of the scheduler; an empty text gives the choice back to the client."""
    set_setting(connection, name, value)


def timing_of(row: Any) -> Timing:
    """Return the timing of a schedule's row."""
    duration = None
    if row.durunits != "INDEFINITE":
        duration = datetime.timedelta(**{_UNITS[row.durunits]: row.duration})
    return Timing(
        datetime.datetime.fromisoformat(row.start),
        duration,
        row.period,
        row.perunits,
        days_of_week(row.dayofweek),
        datetime.date.fromisoformat(row.expiration) if row.expiration else None,
        row.style == "ENHANCED",
        frozenset(MONTHS.index(name) + 1 for name in _list(row.month)),
        frozenset(int(number) for number in _list(row.dayofmonth)),
        frozenset(_list(row.weekofmonth)),
    )


def _list(text: str) -> list[str]:
    return [] if text == "ANY" else text.split(",")


def days_of_week(text: str) -> frozenset[int]:
    """Return the days (Monday is 0) that a list such as ``WEEKEND,MONDAY`` names."""
    days: set[int] = set()
    for name in text.split(","):
        assert name in DAYS_OF_WEEK
        groups: Mapping[str, range] = {"ANY": range(7), "WEEKDAY": range(5), "WEEKEND": range(5, 7)}
        days.update(groups[name] if name in groups else (WEEKDAYS.index(name),))
    return frozenset(days)


def recorded(connection: Connection, domain: str, schedule: str, node: str, since_ns: int) -> dict[int, Recorded]:
    """Return what is on record of a node's windows that open at ``since_ns`` or later, by their start."""
    where = (events.c.domain == domain, events.c.schedule == schedule, events.c.node == node)
    rows = connection.execute(select(events).where(*where, events.c.scheduled_ns >= since_ns)).all()
    return {row.scheduled_ns: Recorded(EventStatus(row.status), wall(row.started_ns or 0)) for row in rows}


def record(connection: Connection, key: tuple[str, str, str, int], status: EventStatus, **values: Any) -> None:
    """Put an event on record, or change the one that is there. ``key``: domain, schedule, node, start of the window."""
    domain, schedule, node, scheduled_ns = key
    where = (
        events.c.domain == domain, events.c.schedule == schedule, events.c.node == node,
        events.c.scheduled_ns == scheduled_ns,
    )  # fmt: skip
    changed = connection.execute(update(events).where(*where).values(status=status.value, **values))
    if not changed.rowcount:
        new = {"domain": domain, "schedule": schedule, "node": node, "scheduled_ns": scheduled_ns}
        connection.execute(insert(events), {**new, "status": status.value, **values})


def next_turn(connection: Connection, row: Any, node: str, now_ns: int) -> Turn | None:
    """Return the window of a schedule that ``node`` should work in next."""
    timing = timing_of(row)
    now = wall(now_ns)
    opened = open_window(timing, now)
    known = recorded(connection, row.domain, row.name, node, wall_ns(opened.start)) if opened else {}
    return turn(timing, now, {wall(at): record for at, record in known.items()})


def schedules_of(connection: Connection, node: str) -> list[Any]:
    """Return the rows of the schedules that a node is associated with."""
    joined = (schedules.c.domain == associations.c.domain) & (schedules.c.name == associations.c.schedule)
    statement = select(schedules).join(associations, joined).join(nodes, nodes.c.name == associations.c.node)
    mine = (associations.c.node == node, nodes.c.domain == schedules.c.domain)
    return list(connection.execute(statement.where(*mine).order_by(schedules.c.priority, schedules.c.name)).all())


class NodeSchedules:
    """The schedules as one node's session sees them."""

    def __init__(self, core: Core, node: str) -> None:
        self._core, self._node = core, node

    def handle(self, message: m.QuerySchedules | m.ReportEvent) -> m.Message:
        """Return the answer to either of the two."""
        return self.answer(message) if isinstance(message, m.QuerySchedules) else self.report(message)

    def answer(self, message: m.QuerySchedules) -> m.Schedules:
        """Say what to do next, and how to behave; note where a node in prompted mode waits."""
        now_ns = self._core.now_ns()
        if not message.looking:
            self._note_contact(message.address, now_ns)
        with self._core.database.read() as connection:
            chosen = {name: read_setting(connection, name) for name in SETTINGS}
            percent = int(chosen["randomize"])
            found = [
                _row(row, following, recorded(connection, row.domain, row.name, self._node, _start(following)),
                     self._node, percent)
                for row in schedules_of(connection, self._node)
                if (following := next_turn(connection, row, self._node, now_ns)) is not None
            ]  # fmt: skip
        return m.Schedules(
            message.seq,
            tuple(sorted(found, key=lambda item: (item.assigned_ns, item.priority, item.name))),
            schedmodes=chosen["schedmodes"],
            queryschedperiod_s=_seconds(chosen["queryschedperiod"], 3_600),
            maxcmdretries=int(chosen["maxcmdretries"]) if chosen["maxcmdretries"] else None,
            retryperiod_s=_seconds(chosen["retryperiod"], 60),
            server_time_ns=now_ns,
        )

    def _note_contact(self, address: str, now_ns: int) -> None:
        mine = contacts.c.node == self._node
        with self._core.database.read() as connection:
            known = connection.execute(select(contacts.c.address).where(mine)).scalar()
        if (known or "") == address:
            return
        if address:
            _checked(address)
        with self._core.database.write() as connection:
            connection.execute(contacts.delete().where(mine))
            if address:
                connection.execute(insert(contacts), {"node": self._node, "address": address, "at_ns": now_ns})
        self._core.schedules_changed.set()

    def report(self, message: m.ReportEvent) -> m.Message:
        """Put what the client says of its event on record and in the activity log."""
        now_ns = self._core.now_ns()
        status = next((known for known in REPORTED if known.value == message.status), None)
        if status is None:
            return m.Failed(message.seq, "invalid", f"{message.status} is no status of an event", "see the reference")
        with self._core.database.write() as connection:
            row = next((r for r in schedules_of(connection, self._node) if r.name == message.schedule), None)
            opened = open_window(timing_of(row), wall(message.start_ns)) if row is not None else None
            if row is None or opened is None or wall_ns(opened.start) != message.start_ns:
                reason = f"{message.schedule} has no window for {self._node} at that time"
                return m.Failed(message.seq, "not-found", reason, "ask for the schedules again")
            values: dict[str, Any] = {"code": message.code, "reason": message.reason[:_REASON_CHARACTERS]}
            values["started_ns" if status in _RUNNING else "ended_ns"] = now_ns
            record(connection, (row.domain, row.name, self._node, message.start_ns), status, **values)
        self._tell(row.domain, message, status)
        return m.Done(message.seq)

    def _tell(self, domain: str, message: m.ReportEvent, status: EventStatus) -> None:
        names: dict[str, Any] = {"schedule": message.schedule, "domain": domain, "node": self._node}
        if status is EventStatus.COMPLETED:
            self._core.log("ANR2507I", **names, start=wall(message.start_ns).strftime("%m/%d/%Y %H:%M:%S"))
        elif status is EventStatus.FAILED:
            self._core.log("ANR2579E", **names, code=message.code)


_RUNNING = frozenset({EventStatus.STARTED, EventStatus.RESTARTED})


def _start(following: Turn) -> int:
    return wall_ns(following.window.start)


def _seconds(text: str, unit_s: int) -> int | None:
    return int(text) * unit_s if text else None


def _checked(address: str) -> None:
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65_536 or len(address) > 255:
        raise Refused(Refusal("protocol", "the address for prompts is not HOST:PORT", "set TCPCLIENTADDRESS, TCPPORT"))


def assigned(row: Any, window: Window, node: str, percent: int) -> datetime.datetime:
    """Return when, inside its window, a node is to start: spread over the first ``percent`` of it, an immediate
    action at once."""
    if row.name.startswith("@"):
        return window.start
    return spread(window, percent, f"{row.domain}/{row.name}/{node}/{window.start.isoformat()}")


def _row(row: Any, following: Turn, known: Mapping[int, Recorded], node: str, percent: int) -> m.ScheduleRow:
    start_ns, end_ns = wall_ns(following.window.start), wall_ns(following.window.end)
    before = known.get(start_ns)
    return m.ScheduleRow(
        name=row.name,
        action=row.action,
        options=row.options,
        objects=row.objects,
        start_ns=start_ns,
        window_ns=end_ns - start_ns,
        priority=row.priority,
        randomize_percent=percent,
        assigned_ns=wall_ns(assigned(row, following.window, node, percent)),
        status=before.status.value if before is not None else "",
        description=row.description,
        style=row.style.capitalize(),
        duration=duration_text(row),
        period=period_text(row),
        days=row.dayofweek,
        expiration=row.expiration,
    )


def duration_text(row: Any) -> str:
    """Return a schedule's duration as QUERY SCHEDULE shows it."""
    return "Indefinite" if row.durunits == "INDEFINITE" else f"{row.duration} {row.durunits.capitalize()[:-1]}(s)"


def period_text(row: Any) -> str:
    """Return a schedule's period as QUERY SCHEDULE shows it; empty for an enhanced one."""
    if row.style == "ENHANCED":
        return ""
    return "One Time" if row.perunits == "ONETIME" else f"{row.period} {row.perunits.capitalize()[:-1]}(s)"
