"""The schedule manager: the server's own loop over all schedules.

Each round runs administrative commands whose window is open, prompts nodes that wait to be told, puts on record what
was missed, and removes records that are old enough. It sleeps until the next window opens or closes, a minute at most
(the wall clock may be set), or until somebody changes a schedule.

A command is on record as in progress before it starts. One that the end of the server cut short runs again while its
window is open and is Uncertain after that, so a server that fails over finishes what it began.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from holdfast.backup.model import messages
from holdfast.backup.model.schedules import EventStatus
from holdfast.backup.plan.schedules import missed, next_window, open_window
from holdfast.backup.service.admin import clientactions
from holdfast.backup.service.admin.caller import SERVER, acting_as
from holdfast.backup.service.admin.reply import Args, Reply
from holdfast.backup.service.catalog.administration import associations, contacts, events, schedules, summary
from holdfast.backup.service.catalog.commit import batches
from holdfast.backup.service.catalog.schema import actlog
from holdfast.backup.service.core import Core, set_setting, setting
from holdfast.backup.service.prompting import prompt
from holdfast.backup.service.schedules import (
    assigned,
    read_setting,
    record,
    timing_of,
    wall,
    wall_ns,
)
from holdfast.kernel.errors import HoldfastError

Perform = Callable[[Core, str, Args], Reply]
_NS = 1_000_000_000
_DAY_NS = 86_400 * _NS
_LONGEST_SLEEP_S = 60.0
_LEAST_SLEEP_S = 0.2
"""Between two looks, so that a thousand nodes that report at once do not cause a thousand looks."""
_PRUNE_EVERY_NS = 3_600 * _NS
_PROMPT_AGAIN_S = 20 * 60
_PROMPTERS = 8
CHECKED = "schedules_checked_ns"
"""The setting that says when windows were last looked at for missed events."""
_RETENTIONS = ("eventretention", "actlogretention", "summaryretention")


class ScheduleManager:
    """Runs the loop in a thread of its own until ``stop``."""

    def __init__(self, core: Core, perform: Perform) -> None:
        self._core, self._perform = core, perform
        self._stopped = threading.Event()
        self._prompted: dict[tuple[str, str, int], int] = {}
        self._pruned_ns = self._checked_ns = 0
        self._prompters = ThreadPoolExecutor(_PROMPTERS, thread_name_prefix="prompter")
        self._thread = threading.Thread(target=self._run, name="schedule-manager", daemon=True)

    def start(self) -> None:
        """Begin; what the last run of the server left in progress is settled first."""
        self._core.log("ANR2560I")
        self._settle()
        self._thread.start()

    def stop(self) -> None:
        """End the loop; commands that it started go on until the process ends."""
        self._stopped.set()
        self._core.schedules_changed.set()
        self._thread.join(10.0)
        self._prompters.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._core.schedules_changed.clear()
            try:
                wait_s = self.round()
            except (HoldfastError, SQLAlchemyError, OSError) as error:
                print(f"schedule manager: {error}", file=sys.stderr, flush=True)
                wait_s = _LONGEST_SLEEP_S
            self._core.schedules_changed.wait(wait_s)
            self._stopped.wait(_LEAST_SLEEP_S)

    def round(self) -> float:
        """Look at everything once; return the seconds until there is something to look at again."""
        now_ns = self._core.now_ns()
        with self._core.database.read() as connection:
            rows = list(connection.execute(select(schedules)).all())
        for row in rows:
            if row.domain == "" and row.active:
                self._administrative(row, now_ns)
        self._note_missed(rows, now_ns)
        following = [*self._moments(rows, now_ns), *self._prompt_nodes(rows, now_ns)]
        self._prune(now_ns)
        nearest_ns = min(following, default=now_ns + int(_LONGEST_SLEEP_S * _NS))
        return min(max((nearest_ns - now_ns) / _NS, 0.05), _LONGEST_SLEEP_S)

    def _moments(self, rows: list[Any], now_ns: int) -> list[int]:
        """Return when windows open and close next."""
        now, found = wall(now_ns), []
        for row in rows:
            timing = timing_of(row)
            if (opened := open_window(timing, now)) is not None:
                found.append(wall_ns(opened.end))
            if (following := next_window(timing, now)) is not None:
                found.append(wall_ns(following.start))
        return found

    # --- administrative schedules

    def _administrative(self, row: Any, now_ns: int) -> None:
        opened = open_window(timing_of(row), wall(now_ns))
        if opened is None or not self.claim(row.name, wall_ns(opened.start), now_ns):
            return
        arguments = (row.name, row.cmd, wall_ns(opened.start))
        threading.Thread(target=self._command, args=arguments, name=f"schedule-{row.name}", daemon=True).start()

    def claim(self, name: str, start_ns: int, now_ns: int) -> bool:
        """Put the event on record as in progress; False when it is on record already, by whichever server."""
        where = (events.c.domain == "", events.c.schedule == name, events.c.scheduled_ns == start_ns)
        values = {"schedule": name, "scheduled_ns": start_ns, "started_ns": now_ns}
        with self._core.database.read() as connection:
            if connection.execute(select(events.c.id).where(*where)).first() is not None:
                return False
        try:
            with self._core.database.write() as connection:
                connection.execute(insert(events), {**values, "status": EventStatus.IN_PROGRESS.value})
        except IntegrityError:
            return False
        return True

    def _command(self, name: str, text: str, start_ns: int) -> None:
        core = self._core
        core.log("ANR2750I", name=name, text=text)
        try:
            command = core.read_command(text)
            with acting_as(SERVER):
                reply = self._perform(core, command.operation, command.args)
            code, reason = reply.code, "" if reply.code == 0 else (reply.messages or [""])[0]
        except HoldfastError as error:
            code, reason = 4, error.message
        status = EventStatus.COMPLETED if code == 0 else EventStatus.FAILED
        with core.database.write() as connection:
            values = {"ended_ns": core.now_ns(), "code": code, "reason": reason}
            record(connection, ("", name, "", start_ns), status, **values)
        core.log("ANR2751I" if code == 0 else "ANR2752E", name=name, text=text)

    def _settle(self) -> None:
        """Forget interrupted commands whose window is open, so that they run again; the others are Uncertain."""
        now = wall(self._core.now_ns())
        left = (events.c.domain == "", events.c.status == EventStatus.IN_PROGRESS.value)
        with self._core.database.write() as connection:
            timings = {
                row.name: timing_of(row) for row in connection.execute(select(schedules)).all() if not row.domain
            }
            for event in connection.execute(select(events).where(*left)).all():
                opened = open_window(timings[event.schedule], now) if event.schedule in timings else None
                mine = events.c.id == event.id
                if opened is not None and wall_ns(opened.start) == event.scheduled_ns:
                    connection.execute(delete(events).where(mine))
                else:
                    values = {"status": EventStatus.UNCERTAIN.value, "reason": "the server ended meanwhile"}
                    connection.execute(update(events).where(mine).values(values))

    # --- nodes

    def _note_missed(self, rows: list[Any], now_ns: int) -> None:
        """Put on record which windows closed since the last look without a word of the node.

        The time of the look is written only when a window closed, so that an idle server writes nothing."""
        with self._core.database.read() as connection:
            written_ns = int(setting(connection, CHECKED) or 0)
            kept_ns = now_ns - int(read_setting(connection, "eventretention")) * _DAY_NS
        since = wall(self._checked_ns or max(written_ns or now_ns, kept_ns))
        closed = [(row, w) for row in rows for w in missed(timing_of(row), since, wall(now_ns), {})]
        found: list[dict[str, Any]] = []
        if closed or (rows and not written_ns):
            with self._core.database.write() as connection:
                for row, window in closed:
                    if row.domain or row.active:
                        found += _silent(connection, row, wall_ns(window.start))
                for part in batches(found):
                    connection.execute(insert(events), part)
                set_setting(connection, CHECKED, str(now_ns))
        self._checked_ns = now_ns
        self._core.log_all(
            [messages.text("ANR2578W", **{key: e[key] for key in ("schedule", "domain", "node")}) for e in found]
        )

    def _prompt_nodes(self, rows: list[Any], now_ns: int) -> list[int]:
        """Prompt every node whose time in an open window has come; return when the next one's comes."""
        following: list[int] = []
        with self._core.database.read() as connection:
            if read_setting(connection, "schedmodes") == "POLLING":
                return following
            percent = int(read_setting(connection, "randomize"))
            again_s = 60 * int(read_setting(connection, "retryperiod") or 0) or _PROMPT_AGAIN_S
            for row in rows:
                opened = open_window(timing_of(row), wall(now_ns)) if row.domain else None
                if opened is None:
                    continue
                for contact in _unheard(connection, row, wall_ns(opened.start)):
                    at_ns = wall_ns(assigned(row, opened, contact.node, percent))
                    if at_ns <= now_ns:
                        at_ns = self._prompt(contact, row.name, wall_ns(opened.start), now_ns, again_s)
                    following.append(at_ns)
        return following

    def _prompt(self, contact: Any, schedule: str, start_ns: int, now_ns: int, again_s: int) -> int:
        """Prompt unless that was done a moment ago; return when to do it again."""
        key = (contact.node, schedule, start_ns)
        last_ns = self._prompted.get(key)
        if last_ns is not None and now_ns < last_ns + again_s * _NS:
            return last_ns + again_s * _NS
        if len(self._prompted) > 10_000:
            self._prompted.clear()
        self._prompted[key] = now_ns
        self._prompters.submit(self._knock, contact.node, contact.address)
        return now_ns + again_s * _NS

    def _knock(self, node: str, address: str) -> None:
        self._core.log("ANR2561I", node=node)
        if not prompt(address, self._core.name, node):
            self._core.log("ANR2716E", node=node, address=address)

    # --- old records

    def _prune(self, now_ns: int) -> None:
        if self._pruned_ns and now_ns - self._pruned_ns < _PRUNE_EVERY_NS:
            return
        self._pruned_ns = now_ns
        with self._core.database.write() as connection:
            days = {name: int(read_setting(connection, name)) for name in _RETENTIONS}
            before_ns = now_ns - days["eventretention"] * _DAY_NS
            gone = connection.execute(delete(events).where(events.c.scheduled_ns < before_ns)).rowcount
            ended = summary.c.start_ns < now_ns - days["summaryretention"] * _DAY_NS
            connection.execute(delete(summary).where(ended))
            for row in connection.execute(select(schedules).where(schedules.c.name.like("@%"))).all():
                if clientactions.over(row, wall(now_ns), days["eventretention"]):
                    for table, column in ((schedules, "name"), (associations, "schedule")):
                        mine = (table.c.domain == row.domain, table.c[column] == row.name)
                        connection.execute(delete(table).where(*mine))
            newest = connection.execute(select(func.max(actlog.c.id))).scalar()
            old = actlog.c.at_ns < now_ns - days["actlogretention"] * _DAY_NS
            connection.execute(delete(actlog).where(old, actlog.c.id != newest))
        if gone:
            self._core.log("ANR2564I", count=gone)


def _unheard(connection: Connection, row: Any, start_ns: int) -> list[Any]:
    """Return the contacts of the nodes of a schedule that have nothing on record of a window."""
    joined = (associations.c.domain == row.domain) & (associations.c.schedule == row.name)
    heard = select(events.c.node).where(
        events.c.domain == row.domain, events.c.schedule == row.name, events.c.scheduled_ns == start_ns
    )
    statement = select(contacts).join(associations, (associations.c.node == contacts.c.node) & joined)
    return list(connection.execute(statement.where(contacts.c.node.not_in(heard))).all())


def _silent(connection: Connection, row: Any, start_ns: int) -> list[dict[str, Any]]:
    """Return the missed events of one closed window: those that nothing is on record of."""
    where = (events.c.domain == row.domain, events.c.schedule == row.name, events.c.scheduled_ns == start_ns)
    heard = set(connection.execute(select(events.c.node).where(*where)).scalars())
    mine = (associations.c.domain == row.domain, associations.c.schedule == row.name)
    linked = select(associations.c.node).where(*mine, associations.c.since_ns <= start_ns + _NS)
    expected = list(connection.execute(linked).scalars()) if row.domain else [""]
    if not row.domain and row.created_ns > start_ns + _NS:
        expected = []
    key = {"domain": row.domain, "schedule": row.name, "scheduled_ns": start_ns, "status": EventStatus.MISSED.value}
    return [{**key, "node": node} for node in expected if node not in heard]
