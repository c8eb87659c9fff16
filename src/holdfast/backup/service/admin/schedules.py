"""DEFINE, UPDATE, DELETE and QUERY SCHEDULE: what is asked, merged over what is there, checked as a whole.

A client schedule is named by domain and name, an administrative one (TYPE=ADMINISTRATIVE) by its name alone. A classic
schedule repeats by period, an enhanced one by the calendar; each refuses the other's parameters.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from sqlalchemy import delete, insert, select, update

from holdfast.backup.model.pools import NAME_LIMIT
from holdfast.backup.model.schedules import (
    ACTIONS,
    DAYS_OF_WEEK,
    DURATION_UNITS,
    MONTHS,
    PERIOD_UNITS,
    WEEKS_OF_MONTH,
)
from holdfast.backup.plan.dates import moment, read_date
from holdfast.backup.plan.schedules import next_window
from holdfast.backup.service.admin.caller import author
from holdfast.backup.service.admin.reply import Args, Reply, answer, choice, identifier, matching, number, refuse
from holdfast.backup.service.catalog.administration import associations, events, schedules
from holdfast.backup.service.catalog.schema import domains
from holdfast.backup.service.core import Core
from holdfast.backup.service.schedules import duration_text, period_text, timing_of, wall

_DEFAULTS: dict[str, Any] = {
    "description": "", "action": "INCREMENTAL", "options": "", "objects": "", "cmd": "", "active": 0, "priority": 5,
    "start": "", "duration": 1, "durunits": "HOURS", "style": "CLASSIC", "period": 1, "perunits": "DAYS",
    "dayofweek": "ANY", "month": "ANY", "dayofmonth": "ANY", "weekofmonth": "ANY", "expiration": "",
}  # fmt: skip
_CLIENT_ONLY = ("action", "options", "objects")
_ADMIN_ONLY = ("cmd", "active")
_ENHANCED_ONLY = ("month", "dayofmonth", "weekofmonth")
_CLASSIC_ONLY = ("period", "perunits")
_TEXT_CHARACTERS = 2_000


def administrative(args: Args) -> bool:
    """Return whether TYPE= says that the schedule is the server's own."""
    return choice(args, "type", "CLIENT", "CLIENT", "ADMINISTRATIVE") == "ADMINISTRATIVE"


def key_of(args: Args) -> tuple[str, str]:
    """Return domain and name; the domain of an administrative schedule is empty and its name comes first."""
    if not administrative(args):
        return identifier(args, "domain", NAME_LIMIT), identifier(args, "schedule", NAME_LIMIT)
    if args.get("schedule"):
        raise refuse(
            "invalid", f"ANR2023E Extraneous parameter - {args['schedule']}", "TYPE=ADMINISTRATIVE has no domain"
        )
    return "", identifier({"schedule": args.get("domain", "")}, "schedule", NAME_LIMIT)


def define_schedule(core: Core, args: Args) -> Reply:
    """DEFINE SCHEDULE domain name ACTION= OPTIONS= ..., or DEFINE SCHEDULE name TYPE=ADMINISTRATIVE CMD= ACTIVE=."""
    domain, name = key_of(args)
    values = _merged(core, args, _DEFAULTS, domain)
    with core.database.write() as connection:
        if domain and connection.execute(select(domains).where(domains.c.name == domain)).first() is None:
            raise refuse("not-found", f"ANR2102E Policy domain {domain} is not defined.")
        where = (schedules.c.domain == domain, schedules.c.name == name)
        if connection.execute(select(schedules).where(*where)).first() is not None:
            raise refuse("exists", f"ANR2101E DEFINE SCHEDULE: Schedule {name} is already defined.")
        made = {"domain": domain, "name": name, "created_ns": core.now_ns()}
        connection.execute(insert(schedules), {**made, **values})
    core.schedules_changed.set()
    if domain:
        return Reply([core.log("ANR2500I", name=name, domain=domain)])
    return Reply([core.log("ANR2577I", name=name, done="defined")])


def update_schedule(core: Core, args: Args) -> Reply:
    """UPDATE SCHEDULE: what is not named keeps its value."""
    domain, name = key_of(args)
    where = (schedules.c.domain == domain, schedules.c.name == name)
    with core.database.read() as connection:
        old = connection.execute(select(schedules).where(*where)).first()
    if old is None:
        raise refuse("not-found", f"ANR2102E UPDATE SCHEDULE: Schedule {name} is not defined.")
    values = _merged(core, args, dict(old._mapping), domain)
    with core.database.write() as connection:
        connection.execute(update(schedules).where(*where).values(values))
    core.schedules_changed.set()
    if domain:
        return Reply([core.log("ANR2502I", name=name, domain=domain)])
    return Reply([core.log("ANR2577I", name=name, done="updated")])


def delete_schedule(core: Core, args: Args) -> Reply:
    """DELETE SCHEDULE domain name: with its associations and the record of its events. The name may be a pattern."""
    server_own = administrative(args)
    domain = "" if server_own else identifier(args, "domain", NAME_LIMIT)
    name = args.get("domain" if server_own else "schedule", "").upper()
    matches, texts = matching({"name": name}), []
    with core.database.write() as connection:
        found = connection.execute(select(schedules.c.name).where(schedules.c.domain == domain)).scalars().all()
        doomed = [known for known in found if matches(known)]
        for known in doomed:
            connection.execute(delete(schedules).where(schedules.c.domain == domain, schedules.c.name == known))
            for table in (associations, events):
                connection.execute(delete(table).where(table.c.domain == domain, table.c.schedule == known))
    for known in doomed:
        texts.append(
            core.log("ANR2501I", name=known, domain=domain)
            if domain
            else core.log("ANR2577I", name=known, done="deleted")
        )
    if not doomed:
        raise refuse("not-found", f"ANR2102E DELETE SCHEDULE: Schedule {name} is not defined.")
    core.schedules_changed.set()
    return Reply(texts)


def _merged(core: Core, args: Args, base: Mapping[str, Any], domain: str) -> dict[str, Any]:
    """Return the columns of a schedule: what ``args`` say over ``base``. Refuses what does not fit together."""
    values = {name: base[name] for name in _DEFAULTS}
    now = wall(core.now_ns()).replace(microsecond=0)
    values["style"] = choice(args, "schedstyle", values["style"], "CLASSIC", "ENHANCED")
    _refuse_foreign(args, domain, values["style"])
    for name, read in _READERS.items():
        if name in args:
            values[name] = read(args)
    if "startdate" in args or "starttime" in args or not values["start"]:
        before = datetime.datetime.fromisoformat(values["start"]) if values["start"] else now
        started = moment(args.get("startdate", ""), args.get("starttime", ""), now, before)
        values["start"] = started.replace(microsecond=0).isoformat()
    if "expiration" in args:
        never = "NEVER".startswith(args["expiration"].upper())
        values["expiration"] = "" if never else read_date(args["expiration"], now).isoformat()
    if values["style"] == "ENHANCED":
        values.update(period=1, perunits="DAYS")
    else:
        values.update(month="ANY", dayofmonth="ANY", weekofmonth="ANY")
    _check(core, values, domain)
    return {**values, "changed_ns": core.now_ns(), "changed_by": author()}


def _refuse_foreign(args: Args, domain: str, style: str) -> None:
    foreign = [*(_ADMIN_ONLY if domain else _CLIENT_ONLY)]
    foreign += _CLASSIC_ONLY if style == "ENHANCED" else _ENHANCED_ONLY
    for name in foreign:
        if name in args:
            kind = f"a {style.lower()} {'client' if domain else 'administrative'} schedule"
            raise refuse("invalid", f"ANR2020E Invalid parameter - {name.upper()}", f"{kind} does not have it")


def _check(core: Core, values: Mapping[str, Any], domain: str) -> None:
    if domain and values["action"] in ("COMMAND", "MACRO") and not values["objects"]:
        raise refuse("invalid", "ANR2022E One or more parameters are missing - OBJECTS", "what is to be run?")
    if not domain:
        if not values["cmd"]:
            raise refuse("invalid", "ANR2022E One or more parameters are missing - CMD", "what is to be run?")
        core.read_command(values["cmd"])
    if values["dayofmonth"] != "ANY" and (values["dayofweek"], values["weekofmonth"]) != ("ANY", "ANY"):
        raise refuse("invalid", "ANR2020E Invalid parameter - DAYOFMONTH", "or DAYOFWEEK and WEEKOFMONTH, not both")
    timing = timing_of(SimpleNamespace(**values))
    first = next_window(timing, timing.start - datetime.timedelta(seconds=1))
    second = next_window(timing, first.start) if first is not None else None
    if first is not None and second is not None and first.end > second.start:
        raise refuse("invalid", "ANR2103E the start-up window is longer than the period", "shorten DURATION")


def _words(name: str, known: tuple[str, ...]) -> Callable[[Args], str]:
    """Return a reader of a comma-separated list of ``known`` words."""

    def read(args: Args) -> str:
        chosen = [choice({name: word}, name, "", *known) for word in args[name].split(",")]
        return "ANY" if "ANY" in chosen else ",".join(dict.fromkeys(chosen))

    return read


def _days_of_month(args: Args) -> str:
    text = args["dayofmonth"].upper()
    if "ANY".startswith(text):
        return "ANY"
    days = [int(word) if word.lstrip("-").isdigit() else 0 for word in text.split(",")]
    if any(day == 0 or abs(day) > 31 for day in days):
        raise refuse("invalid", f"ANR2020E Invalid parameter - DAYOFMONTH={text}", "1 to 31, or -1 to -31 from the end")
    return ",".join(str(day) for day in dict.fromkeys(days))


def _short(name: str) -> Callable[[Args], str]:
    def read(args: Args) -> str:
        if len(args[name]) > _TEXT_CHARACTERS:
            raise refuse(
                "invalid", f"ANR2020E Invalid parameter - {name.upper()}", f"at most {_TEXT_CHARACTERS} characters"
            )
        return args[name]

    return read


_READERS: dict[str, Callable[[Args], Any]] = {
    **{name: _short(name) for name in ("description", "options", "objects", "cmd")},
    "action": lambda args: choice(args, "action", "", *ACTIONS),
    "active": lambda args: int(choice(args, "active", "", "YES", "NO") == "YES"),
    "priority": lambda args: number(args, "priority", 5, 1, 10),
    "duration": lambda args: number(args, "duration", 1, 1, 999),
    "durunits": lambda args: choice(args, "durunits", "", *DURATION_UNITS),
    "period": lambda args: number(args, "period", 1, 1, 999),
    "perunits": lambda args: choice(args, "perunits", "", *PERIOD_UNITS),
    "dayofweek": _words("dayofweek", DAYS_OF_WEEK),
    "month": _words("month", ("ANY", *MONTHS)),
    "dayofmonth": _days_of_month,
    "weekofmonth": _words("weekofmonth", ("ANY", *WEEKS_OF_MONTH)),
}


def query_schedule(core: Core, args: Args) -> Reply:
    """QUERY SCHEDULE [domain] [name] [NODES=] [TYPE=] [FORMAT=]."""
    server_own = administrative(args)
    of_domain = (lambda name: name == "") if server_own else _wanted_domain(args)
    matches = matching({"name": args.get("domain" if server_own else "schedule", "*")})
    with core.database.read() as connection:
        found = connection.execute(select(schedules).order_by(schedules.c.domain, schedules.c.name)).all()
        links = connection.execute(select(associations)).all()
    chosen = [row for row in found if of_domain(row.domain) and matches(row.name)]
    if args.get("nodes"):
        of_node = matching(args, "nodes")
        linked = {(link.domain, link.schedule) for link in links if of_node(link.node)}
        chosen = [row for row in chosen if (row.domain, row.name) in linked]
    if choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED":
        return _detailed(chosen, server_own)
    columns: tuple[str, ...] = ("Schedule Name", "Action", "Start Date/Time", "Duration", "Period", "Day")
    columns = ("Schedule Name", "Start Date/Time", "Duration", "Period", "Day") if server_own else ("Domain", *columns)
    rows = [_standard(row, server_own) for row in chosen]
    return answer("QUERY SCHEDULE", columns, rows)


def _wanted_domain(args: Args) -> Callable[[str], bool]:
    matches = matching(args, "domain")
    return lambda name: name != "" and matches(name)


_SHORT_ACTIONS = {"INCREMENTAL": "Inc Bk", "SELECTIVE": "Sel Bk", "IMAGEBACKUP": "Img Bk", "IMAGERESTORE": "Img Rest"}


def _standard(row: Any, server_own: bool) -> tuple[str, ...]:
    unit = "" if row.durunits == "INDEFINITE" else row.durunits[:1].replace("M", "Min") + ""
    length = "Ind" if row.durunits == "INDEFINITE" else f"{row.duration} {unit}"
    every = "Enhanced" if row.style == "ENHANCED" else f"{row.period} {row.perunits[:1]}"
    if row.style == "CLASSIC" and row.perunits in ("MONTHS", "ONETIME"):
        every = f"{row.period} Mo" if row.perunits == "MONTHS" else "Onetime"
    days = ",".join(word.capitalize() if word == "ANY" else word.capitalize()[:3] for word in row.dayofweek.split(","))
    when = (_shown(row.start), length, every, days)
    if server_own:
        return (row.name, *when)
    return (row.domain, row.name, _SHORT_ACTIONS.get(row.action, row.action.capitalize()), *when)


def _shown(start: str) -> str:
    return datetime.datetime.fromisoformat(start).strftime("%m/%d/%Y %H:%M:%S")


def _detailed(chosen: list[Any], server_own: bool) -> Reply:
    own: tuple[str, ...] = (
        ("Command", "Active?") if server_own else ("Policy Domain Name", "Action", "Options", "Objects")
    )
    columns = (
        "Schedule Name", "Description", *own, "Priority", "Start Date/Time", "Duration", "Schedule Style", "Period",
        "Day of Week", "Month", "Day of Month", "Week of Month", "Expiration", "Last Update by (administrator)",
        "Last Update Date/Time",
    )  # fmt: skip
    rows = []
    for row in chosen:
        mine = (row.cmd, "Yes" if row.active else "No")
        theirs = (row.domain, row.action.capitalize(), row.options, row.objects)
        changed = wall(row.changed_ns).strftime("%m/%d/%Y %H:%M:%S")
        rows.append(
            (row.name, row.description, *(mine if server_own else theirs), str(row.priority), _shown(row.start),
             duration_text(row), row.style.capitalize(), period_text(row), _title(row.dayofweek), _title(row.month),
             _title(row.dayofmonth), _title(row.weekofmonth), row.expiration, row.changed_by, changed)
        )  # fmt: skip
    return answer("QUERY SCHEDULE", columns, rows, detailed=True)


def _title(text: str) -> str:
    return ",".join(word.capitalize() for word in text.split(","))
