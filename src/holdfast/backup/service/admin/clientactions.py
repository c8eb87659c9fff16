"""DEFINE CLIENTACTION: something for nodes to do once, as soon as they ask; COPY SCHEDULE.

An action is a schedule of its own, ``@1``, ``@2`` ..., that opens one window now; the schedule manager removes it when
its window is over and its events are no longer kept.
"""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from holdfast.backup.model.pools import NAME_LIMIT
from holdfast.backup.model.schedules import ACTIONS
from holdfast.backup.service.admin.caller import author
from holdfast.backup.service.admin.reply import Args, Reply, choice, identifier, matching, number, refuse
from holdfast.backup.service.catalog.administration import associations, schedules
from holdfast.backup.service.catalog.schema import nodes
from holdfast.backup.service.core import Core, set_setting, setting
from holdfast.backup.service.schedules import read_setting, wall, write_setting

_TEXT_CHARACTERS = 2_000


def define_clientaction(core: Core, args: Args) -> Reply:
    """DEFINE CLIENTACTION [nodes] [DOMAIN=] [ACTION=] [OPTIONS=] [OBJECTS=]: nodes may be a list with wildcards."""
    action = choice(args, "action", "INCREMENTAL", *ACTIONS)
    if action in ("COMMAND", "MACRO") and not args.get("objects"):
        raise refuse("invalid", "ANR2022E One or more parameters are missing - OBJECTS", "what is to be run?")
    if max(len(args.get(key, "")) for key in ("options", "objects")) > _TEXT_CHARACTERS:
        raise refuse("invalid", "ANR2020E Invalid parameter - OBJECTS", f"at most {_TEXT_CHARACTERS} characters")
    matches, of_domain, now_ns = matching(args, "nodes"), matching(args, "domain"), core.now_ns()
    made: list[tuple[str, str]] = []
    with core.database.write() as connection:
        found = connection.execute(select(nodes.c.name, nodes.c.domain).where(nodes.c.type == "CLIENT")).all()
        chosen = [row for row in found if matches(row.name) and of_domain(row.domain)]
        if not chosen:
            raise refuse("not-found", "ANR2103E no node matches", "QUERY NODE")
        for domain in sorted({row.domain for row in chosen}):
            values: dict[str, Any] = {
                "domain": domain, "action": action, "options": args.get("options", ""),
                "objects": args.get("objects", ""), "start": wall(now_ns).replace(microsecond=0).isoformat(),
                "duration": int(read_setting(connection, "clientactduration")) or 1, "durunits": "DAYS",
                "perunits": "ONETIME", "priority": 1, "created_ns": now_ns, "changed_ns": now_ns,
                "changed_by": author(), "description": "Immediate client action",
            }  # fmt: skip
            name = _next_name(connection)
            connection.execute(insert(schedules), {**values, "name": name})
            for row in chosen:
                if row.domain == domain:
                    link = {"domain": domain, "schedule": name, "node": row.name, "since_ns": now_ns}
                    connection.execute(insert(associations), {**link, "changed_by": author()})
            made.append((name, domain))
    core.schedules_changed.set()
    return Reply([core.log("ANR2500I", name=name, domain=domain) for name, domain in made])


def _next_name(connection: Connection) -> str:
    last = int(setting(connection, "clientactions") or 0) + 1
    set_setting(connection, "clientactions", str(last))
    return f"@{last}"


def copy_schedule(core: Core, args: Args) -> Reply:
    """COPY SCHEDULE domain name newdomain [newname]: without its associations."""
    old_domain, old = identifier(args, "domain", NAME_LIMIT), args.get("schedule", "").upper()
    new_domain = identifier(args, "newdomain", NAME_LIMIT)
    new = identifier({"name": args.get("newname", old)}, "name", NAME_LIMIT)
    with core.database.write() as connection:
        where = (schedules.c.domain == old_domain, schedules.c.name == old)
        row = connection.execute(select(schedules).where(*where)).first()
        if row is None:
            raise refuse("not-found", f"ANR2102E COPY SCHEDULE: Schedule {old} is not defined.")
        taken = (schedules.c.domain == new_domain, schedules.c.name == new)
        if connection.execute(select(schedules).where(*taken)).first() is not None:
            raise refuse("exists", f"ANR2101E COPY SCHEDULE: Schedule {new} is already defined.")
        now_ns = core.now_ns()
        fresh = {"domain": new_domain, "name": new, "created_ns": now_ns, "changed_ns": now_ns, "changed_by": author()}
        connection.execute(insert(schedules), {**row._mapping, **fresh})
    core.schedules_changed.set()
    return Reply([core.log("ANR2500I", name=new, domain=new_domain)])


def set_clientactduration(core: Core, args: Args) -> Reply:
    """SET CLIENTACTDURATION days: how long an action waits for its nodes."""
    days = number(args, "value", 5, 1, 999)
    with core.database.write() as connection:
        write_setting(connection, "clientactduration", str(days))
    return Reply([core.log("ANR1999I", what=f"SET CLIENTACTDURATION {days}")])


def over(row: Any, now: datetime.datetime, kept_days: int) -> bool:
    """Return whether an action's window was over so long ago that its events are no longer kept."""
    if not row.name.startswith("@"):
        return False
    ends = datetime.datetime.fromisoformat(row.start) + datetime.timedelta(days=row.duration + kept_days)
    return ends <= now


COMMANDS = {
    "define clientaction": define_clientaction,
    "copy schedule": copy_schedule,
    "set clientactduration": set_clientactduration,
}
