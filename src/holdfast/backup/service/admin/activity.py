"""What goes on: processes and sessions listed and cancelled, the activity log read with all its filters."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import func, select

from holdfast.backup.model import messages
from holdfast.backup.plan.dates import moment
from holdfast.backup.service.admin.caller import author
from holdfast.backup.service.admin.query import stamp
from holdfast.backup.service.admin.reply import NOTFOUND, Args, Reply, answer, choice, number, refuse
from holdfast.backup.service.catalog.schema import actlog
from holdfast.backup.service.core import Core, set_setting
from holdfast.backup.service.schedules import wall, wall_ns

_NS = 1_000_000_000
_MOST_LINES = 100_000
_CONSOLE_LINES = 1_000


def query_process(core: Core, args: Args) -> Reply:
    """QUERY PROCESS [number]: what runs, and how far it is."""
    columns = ("Process Number", "Process Description", "Process Status")
    wanted = number(args, "number", 0, 1, 10**9)
    found = [p for p in core.processes.running() if wanted in (0, p.number)]
    if not found:
        return Reply([messages.text("ANR0944E", what="QUERY PROCESS")], columns, code=NOTFOUND)
    figures: dict[str, object] = {
        "processes": [
            {"number": p.number, "name": p.name, "status": p.status, "unit": p.unit, "done": p.done, "total": p.total,
             "done_bytes": p.done_bytes, "started_ns": p.started_ns}
            for p in found
        ]
    }  # fmt: skip
    return Reply([], columns, [(str(p.number), p.name.title(), p.describe()) for p in found], figures)


def cancel_process(core: Core, args: Args) -> Reply:
    """CANCEL PROCESS number: it ends at its next safe point."""
    process = core.processes.cancel(number(args, "number", 0, 1, 10**9))
    return Reply([core.log("ANR0940I", process=process.number, number=process.number, name=author())])


def query_session(core: Core, args: Args) -> Reply:
    """QUERY SESSION [number] [TYPE=ANY|ADMIN|NODE|SERVER] [FORMAT=]."""
    columns: tuple[str, ...] = (
        "Sess Number", "Comm. Method", "Sess State", "Wait Time", "Bytes Sent", "Bytes Recvd", "Sess Type", "Platform",
        "Client Name",
    )  # fmt: skip
    wanted, kind = number(args, "number", 0, 1, 10**9), choice(args, "type", "ANY", "ANY", "ADMIN", "NODE", "SERVER")
    now_ns, rows = core.now_ns(), []
    detailed = choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED"
    for entry in core.sessions.running():
        if wanted not in (0, entry.number) or kind not in ("ANY", entry.kind.upper()):
            continue
        waited = f"{max(now_ns - entry.last_ns, 0) // _NS} S"
        more = (entry.address, stamp(entry.started_ns)) if detailed else ()
        rows.append(
            (str(entry.number), "Tcp/Ip", entry.state, waited, str(entry.sent_bytes), str(entry.received_bytes),
             entry.kind, entry.platform, entry.name, *more)
        )  # fmt: skip
    columns += ("Certificate", "Start Date/Time") if detailed else ()
    return answer("QUERY SESSION", columns, rows, detailed)


def cancel_session(core: Core, args: Args) -> Reply:
    """CANCEL SESSION number|ALL: what it had committed stays. ALL spares administrators."""
    if "ALL".startswith(args["number"].upper()):
        chosen = [entry.number for entry in core.sessions.running() if entry.kind != "Admin"]
    else:
        chosen = [number(args, "number", 0, 1, 10**9)]
    cancelled = [core.sessions.cancel(session) for session in chosen]
    return Reply([core.log("ANR0490I", session=e.number, number=e.number, name=e.name) for e in cancelled])


def query_actlog(core: Core, args: Args) -> Reply:
    """QUERY ACTLOG [BEGINDATE=] [BEGINTIME=] [ENDDATE=] [ENDTIME=] [MSGNO=] [SEARCH=] [NODENAME=] [ORIGINATOR=] ...

    From an hour ago until now, unless the parameters say otherwise."""
    now = wall(core.now_ns())
    begin = moment(args.get("begindate", ""), args.get("begintime", ""), now, now - datetime.timedelta(hours=1))
    end = moment(args.get("enddate", ""), args.get("endtime", ""), now, now) + datetime.timedelta(seconds=1)
    if end < begin:
        raise refuse("invalid", "ANR2165E the end lies before the begin", "see BEGINDATE, BEGINTIME, ENDDATE, ENDTIME")
    begin_ns = wall_ns(begin.replace(microsecond=0))
    where = [actlog.c.at_ns >= begin_ns, actlog.c.at_ns < wall_ns(end)]
    for key, column in (("sessnum", actlog.c.session), ("process", actlog.c.process)):
        if key in args:
            where.append(column == number(args, key, 0, 1, 10**9))
    keep = _filter(args)
    with core.database.read() as connection:
        found = connection.execute(select(actlog).where(*where).order_by(actlog.c.id))
        rows = [(stamp(line.at_ns), _with_suffix(line)) for line in found if keep(line.message)]
    if len(rows) > _MOST_LINES:
        raise refuse("invalid", f"ANR2103E more than {_MOST_LINES} messages", "name a shorter time, MSGNO= or SEARCH=")
    return answer("QUERY ACTLOG", ("Date/Time", "Message"), rows)


def _filter(args: Args) -> Any:
    """Return the test that MSGNO, SEARCH, NODENAME, SEVERITY and ORIGINATOR make of a message."""
    numbers = {word.zfill(4) for word in args.get("msgno", "").split(",") if word}
    if not all(word.isdigit() for word in numbers):
        raise refuse("invalid", f"ANR2020E Invalid parameter - MSGNO={args['msgno']}", "numbers, with commas between")
    wanted, node = args.get("search", "").upper(), args.get("nodename", "").upper()
    origin = choice(args, "originator", "ALL", "ALL", "SERVER", "CLIENT")
    grades = {"ALL": "IWESD", "INFO": "I", "WARNING": "W", "ERROR": "E", "SEVERE": "S"}
    severity = grades[choice(args, "severity", "ALL", *grades)]

    def keep(message: str) -> bool:
        upper = message.upper()
        named = not node or node in upper.replace("(", " ").replace(")", " ").replace(".", " ").split()
        from_client = message.startswith("ANE")
        return (
            wanted in upper
            and named
            and (not numbers or message[3:7] in numbers)
            and (origin == "ALL" or from_client == (origin == "CLIENT"))
            and (severity == grades["ALL"] or message[7:8] in severity)
        )

    return keep


def _with_suffix(line: Any) -> str:
    suffix = f" (SESSION: {line.session})" if line.session else ""
    suffix += f" (PROCESS: {line.process})" if line.process else ""
    return str(line.message) + suffix


def query_console(core: Core, args: Args) -> Reply:
    """QUERY CONSOLE after: what was written to the activity log after a number; at first (0) only the last number."""
    after = number(args, "after", 0, 0, 2**62)
    with core.database.read() as connection:
        if not after:
            last = connection.execute(select(func.max(actlog.c.id))).scalar() or 0
            return Reply([], ("Number", "Message"), [(str(last), "")])
        later = select(actlog.c.id, actlog.c.message).where(actlog.c.id > after).order_by(actlog.c.id)
        found = connection.execute(later.limit(_CONSOLE_LINES))
        return Reply([], ("Number", "Message"), [(str(row.id), row.message) for row in found])


def _admission(core: Core, args: Args, closed: bool) -> Reply:
    kind = choice({"kind": args.get("kind", "CLIENT")}, "kind", "CLIENT", "CLIENT", "SERVER", "ALL")
    with core.database.write() as connection:
        for name in ("CLIENT", "SERVER"):
            if kind in (name, "ALL"):
                set_setting(connection, f"sessions_closed_{name}", "1" if closed else "")
    return Reply([core.log("ANR2552I" if closed else "ANR2551I", kind=kind)])


def disable_sessions(core: Core, args: Args) -> Reply:
    """DISABLE SESSIONS [CLIENT|SERVER|ALL]: no new ones; administrators always come in."""
    return _admission(core, args, True)


def enable_sessions(core: Core, args: Args) -> Reply:
    """ENABLE SESSIONS [CLIENT|SERVER|ALL]."""
    return _admission(core, args, False)


COMMANDS = {
    "disable sessions": disable_sessions,
    "enable sessions": enable_sessions,
    "query process": query_process,
    "cancel process": cancel_process,
    "query session": query_session,
    "cancel session": cancel_session,
    "query actlog": query_actlog,
    "query console": query_console,
}
