"""Associations, events and the settings of the scheduler.

An event is never stored before something happened: what is to come and what nobody reported on follows from the
schedule and the clock, what was reported lies in the table ``events``.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from holdfast.backup.model.pools import NAME_LIMIT
from holdfast.backup.model.schedules import EXCEPTIONS, EventStatus
from holdfast.backup.plan.dates import moment
from holdfast.backup.plan.schedules import status, windows
from holdfast.backup.service.admin.caller import author
from holdfast.backup.service.admin.reply import Args, Reply, answer, choice, identifier, matching, number, refuse
from holdfast.backup.service.admin.schedules import administrative
from holdfast.backup.service.catalog.administration import associations, events, schedules
from holdfast.backup.service.catalog.schema import nodes
from holdfast.backup.service.core import Core
from holdfast.backup.service.schedules import read_setting, timing_of, wall, wall_ns, write_setting

_MOST_EVENTS = 200_000
_SECOND_NS = 1_000_000_000


def define_association(core: Core, args: Args) -> Reply:
    """DEFINE ASSOCIATION domain schedule node[,node...]: names may hold wildcards."""
    domain, name = identifier(args, "domain", NAME_LIMIT), identifier(args, "schedule", NAME_LIMIT)
    matches, now_ns = matching(args, "nodes"), core.now_ns()
    with core.database.write() as connection:
        where = (schedules.c.domain == domain, schedules.c.name == name)
        if connection.execute(select(schedules).where(*where)).first() is None:
            raise refuse("not-found", f"ANR2102E DEFINE ASSOCIATION: Schedule {name} is not defined.")
        known = connection.execute(select(nodes.c.name).where(nodes.c.domain == domain)).scalars()
        chosen = [node for node in known if matches(node)]
        linked = select(associations.c.node).where(associations.c.domain == domain, associations.c.schedule == name)
        already = set(connection.execute(linked).scalars())
        fresh = [node for node in chosen if node not in already]
        for node in fresh:
            values = {"domain": domain, "schedule": name, "node": node, "since_ns": now_ns, "changed_by": author()}
            connection.execute(insert(associations), values)
    if not chosen:
        raise refuse("not-found", f"ANR2103E no node of domain {domain} matches {args['nodes']}", "REGISTER NODE first")
    if not fresh:
        raise refuse("exists", f"ANR2103E the nodes are associated with {name} already")
    core.schedules_changed.set()
    return Reply([core.log("ANR2510I", node=node, schedule=name, domain=domain) for node in fresh])


def delete_association(core: Core, args: Args) -> Reply:
    """DELETE ASSOCIATION domain schedule node[,node...]."""
    of_domain, of_schedule, of_node = (matching(args, key) for key in ("domain", "schedule", "nodes"))
    with core.database.write() as connection:
        found = connection.execute(select(associations)).all()
        doomed = [r for r in found if of_domain(r.domain) and of_schedule(r.schedule) and of_node(r.node)]
        for row in doomed:
            mine = (associations.c.domain == row.domain, associations.c.schedule == row.schedule)
            connection.execute(delete(associations).where(*mine, associations.c.node == row.node))
    if not doomed:
        raise refuse("not-found", "ANR2103E DELETE ASSOCIATION: no such association")
    core.schedules_changed.set()
    return Reply([core.log("ANR2511I", node=r.node, schedule=r.schedule, domain=r.domain) for r in doomed])


def query_association(core: Core, args: Args) -> Reply:
    """QUERY ASSOCIATION [domain] [schedule]: one line for each schedule with its nodes."""
    of_domain, of_schedule = matching(args, "domain"), matching(args, "schedule")
    order = (associations.c.domain, associations.c.schedule, associations.c.node)
    with core.database.read() as connection:
        found = connection.execute(select(associations).order_by(*order)).all()
    grouped: dict[tuple[str, str], list[str]] = {}
    for row in found:
        if of_domain(row.domain) and of_schedule(row.schedule):
            grouped.setdefault((row.domain, row.schedule), []).append(row.node)
    columns = ("Policy Domain Name", "Schedule Name", "Associated Nodes")
    return answer("QUERY ASSOCIATION", columns, [(*key, " ".join(names)) for key, names in grouped.items()])


def span(core: Core, args: Args) -> tuple[datetime.datetime, datetime.datetime]:
    """Return the span of time that BEGINDATE to ENDTIME name: today unless they say otherwise; the end is excluded."""
    now = wall(core.now_ns())
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begin = moment(args.get("begindate", ""), args.get("begintime", ""), now, midnight)
    end = moment(args.get("enddate", ""), args.get("endtime", ""), now, begin.replace(hour=23, minute=59, second=59))
    if end < begin:
        raise refuse("invalid", "ANR2165E the end lies before the begin", "see BEGINDATE, BEGINTIME, ENDDATE, ENDTIME")
    return begin, end + datetime.timedelta(seconds=60 if len(args.get("endtime", "")) == 5 else 1)


@dataclass(frozen=True, slots=True)
class Happening:
    """One window of a schedule for one node, and what is on record of it (``event``; None: nothing)."""

    start: datetime.datetime
    row: Any
    node: str
    event: Any
    status: EventStatus


def events_to_come(core: Core, connection: Connection) -> list[Happening]:
    """Return the events of which nothing is on record: from a day ago until the end of tomorrow, in order of time.

    What was missed longer ago is on record: the schedule manager sees to that."""
    now = wall(core.now_ns())
    begin = now - datetime.timedelta(days=1)
    end = now.replace(hour=0, minute=0, second=0, microsecond=0) + datetime.timedelta(days=2)
    found = happenings(connection, lambda row, node: True, (begin, end), now)
    return [happening for happening in found if happening.event is None]


def happenings(
    connection: Connection,
    wanted: Callable[[Any, str], bool],
    between: tuple[datetime.datetime, datetime.datetime],
    now: datetime.datetime,
) -> list[Happening]:
    """Return the events of the wanted schedules and nodes, in order of time. Refuses more than can be listed."""
    found: list[Happening] = []
    kept = _kept(connection, between)
    nodes_of: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for link in connection.execute(select(associations)):
        nodes_of.setdefault((link.domain, link.schedule), []).append((link.node, link.since_ns))
    since = now - datetime.timedelta(days=int(read_setting(connection, "eventretention")))
    for row in connection.execute(select(schedules)).all():
        known = nodes_of.get((row.domain, row.name), []) if row.domain else [("", row.created_ns)]
        chosen = [(node, since_ns) for node, since_ns in known if wanted(row, node)]
        if chosen:
            found += _events_of(row, chosen, kept, (max(between[0], since), between[1]), now)
        if len(found) > _MOST_EVENTS:
            raise refuse("invalid", f"ANR2103E more than {_MOST_EVENTS} events", "name a shorter time")
    return sorted(found, key=lambda event: event.start)


def _kept(connection: Connection, between: tuple[datetime.datetime, datetime.datetime]) -> dict[tuple[str, ...], Any]:
    """Return what is on record of a span of time: by domain, schedule and node, then by the start of the window."""
    span = (events.c.scheduled_ns >= wall_ns(between[0]), events.c.scheduled_ns < wall_ns(between[1]))
    kept: dict[tuple[str, ...], Any] = {}
    for event in connection.execute(select(events).where(*span).limit(_MOST_EVENTS + 1)):
        kept.setdefault((event.domain, event.schedule, event.node), {})[event.scheduled_ns] = event
    return kept


def query_event(core: Core, args: Args) -> Reply:
    """QUERY EVENT domain schedule [NODES=] [BEGINDATE= ...] [EXCEPTIONSONLY=] [TYPE=] [FORMAT=]."""
    server_own, between = administrative(args), span(core, args)
    of_schedule = matching({"name": args.get("domain" if server_own else "schedule", "*")})
    of_domain, of_node = matching(args, "domain"), matching(args, "nodes")
    only = choice(args, "exceptionsonly", "NO", "YES", "NO") == "YES"

    def wanted(row: Any, node: str) -> bool:
        if server_own:
            return row.domain == "" and of_schedule(row.name)
        return row.domain != "" and of_domain(row.domain) and of_schedule(row.name) and of_node(node)

    with core.database.read() as connection:
        found = happenings(connection, wanted, between, wall(core.now_ns()))
    chosen = [event for event in found if not only or event.status in EXCEPTIONS]
    return _shown(chosen, server_own, choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED")


def _events_of(
    row: Any,
    chosen: list[tuple[str, int]],
    kept: dict[tuple[str, ...], Any],
    between: tuple[datetime.datetime, datetime.datetime],
    now: datetime.datetime,
) -> list[Happening]:
    """Return what is on record of a schedule's nodes, and each window of which nothing is."""
    found: list[Happening] = []
    computed = windows(timing_of(row), *between) if row.domain or row.active else iter(())
    opening = [(wall_ns(w.start), w) for w in itertools.islice(computed, _MOST_EVENTS)]
    for node, since_ns in chosen:
        recorded = kept.get((row.domain, row.name, node), {})
        for at_ns, event in recorded.items():
            found.append(Happening(wall(at_ns), row, node, event, EventStatus(event.status)))
        for at_ns, window in opening:
            if at_ns >= since_ns - _SECOND_NS and at_ns not in recorded:
                found.append(Happening(window.start, row, node, None, status(window, now, None)))
        if len(found) > _MOST_EVENTS:
            break
    return found


def _stamp(at: datetime.datetime) -> str:
    return at.strftime("%m/%d/%Y %H:%M:%S")


def _shown(found: list[Happening], server_own: bool, detailed: bool) -> Reply:
    rows: list[tuple[str, ...]] = []
    for happening in found:
        start, row, node, event = happening.start, happening.row, happening.node, happening.event
        state = happening.status
        began = _stamp(wall(event.started_ns)) if event is not None and event.started_ns else ""
        who = () if server_own else (node,)
        if not detailed:
            rows.append((_stamp(start), began, row.name, *who, state.value))
            continue
        ended = _stamp(wall(event.ended_ns)) if event is not None and event.ended_ns else ""
        result, reason = (str(event.code), event.reason) if event is not None else ("", "")
        where = () if server_own else (row.domain,)
        rows.append((*where, row.name, *who, _stamp(start), began, ended, state.value, result, reason))
    who_column = () if server_own else ("Node Name",)
    if not detailed:
        columns = ("Scheduled Start", "Actual Start", "Schedule Name", *who_column, "Status")
        return answer("QUERY EVENT", columns, rows)
    where_column = () if server_own else ("Policy Domain Name",)
    columns = (
        *where_column, "Schedule Name", *who_column, "Scheduled Start", "Actual Start", "Completed", "Status", "Result",
        "Reason",
    )  # fmt: skip
    return answer("QUERY EVENT", columns, rows, detailed=True)


def delete_event(core: Core, args: Args) -> Reply:
    """DELETE EVENT date [time] [TYPE=]: the record of events that were scheduled before."""
    now = wall(core.now_ns())
    before = moment(args["date"], args.get("time", "00:00"), now, now)
    kind = choice(args, "type", "CLIENT", "CLIENT", "ADMINISTRATIVE", "ALL")
    statement = delete(events).where(events.c.scheduled_ns < wall_ns(before))
    if kind != "ALL":
        statement = statement.where((events.c.domain == "") == (kind == "ADMINISTRATIVE"))
    with core.database.write() as connection:
        count = connection.execute(statement).rowcount
    return Reply([core.log("ANR2564I", count=count)])


def set_schedmodes(core: Core, args: Args) -> Reply:
    """SET SCHEDMODES ANY|POLLING|PROMPTED."""
    return _set(core, "schedmodes", choice(args, "value", "", "ANY", "POLLING", "PROMPTED"))


def _numeric(name: str, low: int, high: int, by_client: bool = False) -> Any:
    def run(core: Core, args: Args) -> Reply:
        if by_client and (not args.get("value") or "CLIENT".startswith(args["value"].upper())):
            return _set(core, name, "")
        return _set(core, name, str(number({name: args["value"]}, name, low, low, high)))

    run.__doc__ = f"SET {name.upper()} {low} to {high}."
    return run


def _set(core: Core, name: str, value: str) -> Reply:
    with core.database.write() as connection:
        write_setting(connection, name, value)
    core.schedules_changed.set()
    return Reply([core.log("ANR1999I", what=f"SET {name.upper()} {value or 'CLIENT'}")])


set_randomize = _numeric("randomize", 0, 50)
set_queryschedperiod = _numeric("queryschedperiod", 1, 9_999, by_client=True)
set_maxcmdretries = _numeric("maxcmdretries", 0, 9_999, by_client=True)
set_retryperiod = _numeric("retryperiod", 1, 9_999, by_client=True)
set_eventretention = _numeric("eventretention", 0, 9_999)
set_actlogretention = _numeric("actlogretention", 0, 9_999)
set_summaryretention = _numeric("summaryretention", 0, 9_999)
