"""From an operation's name to its function, and from what happens there to a return code."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from holdfast.backup.model import messages
from holdfast.backup.service.admin import (
    activity,
    admins,
    clientactions,
    database,
    events,
    nodes,
    objects,
    optionsets,
    overview,
    passwords,
    policy,
    query,
    schedules,
    scripts,
    selecting,
    servers,
    storage,
    storagequery,
)
from holdfast.backup.service.admin.caller import SERVER, acting_as, caller
from holdfast.backup.service.admin.processes import PROCESSES
from holdfast.backup.service.admin.reply import CODES, ERROR, SYNTAX, Args, Reply, choice
from holdfast.backup.service.authority import authorize
from holdfast.backup.service.core import Core
from holdfast.backup.service.processes import Process
from holdfast.backup.service.sessions import summarise_process
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import HoldfastError, InputError, Refused

Operation = Callable[[Core, Args], Reply]

COMMANDS: dict[str, Operation] = {
    **nodes.COMMANDS,
    **admins.COMMANDS,
    **passwords.COMMANDS,
    **policy.COMMANDS,
    **optionsets.COMMANDS,
    **servers.COMMANDS,
    **scripts.COMMANDS,
    **clientactions.COMMANDS,
    **selecting.COMMANDS,
    **activity.COMMANDS,
    **overview.COMMANDS,
    **selecting.COMMANDS,
    **activity.COMMANDS,
    **overview.COMMANDS,
    **storage.COMMANDS,
    **database.COMMANDS,
    **storagequery.COMMANDS,
    "define schedule": schedules.define_schedule,
    "update schedule": schedules.update_schedule,
    "delete schedule": schedules.delete_schedule,
    "query schedule": schedules.query_schedule,
    "define association": events.define_association,
    "delete association": events.delete_association,
    "query association": events.query_association,
    "query event": events.query_event,
    "delete event": events.delete_event,
    "set schedmodes": events.set_schedmodes,
    "set randomize": events.set_randomize,
    "set queryschedperiod": events.set_queryschedperiod,
    "set maxcmdretries": events.set_maxcmdretries,
    "set retryperiod": events.set_retryperiod,
    "set eventretention": events.set_eventretention,
    "set actlogretention": events.set_actlogretention,
    "set summaryretention": events.set_summaryretention,
    "query server": query.query_server,
    "query volhistory": query.query_volhistory,
    "query domain": query.query_domain,
    "query object": objects.query_object,
    "mark object": objects.mark,
    "copy object": objects.copy,
}


def run_operation(core: Core, admin: str, request: m.Run) -> m.Outcome:
    """Carry out one operation; every refusal is an answer with its return code."""
    with acting_as(admin):
        reply = perform(core, request.operation, request.args)
    figures = {name: msgspec.Raw(msgspec.msgpack.encode(value)) for name, value in reply.figures.items()}
    parts = tuple(
        m.Part(text, part.code, tuple(part.messages), part.columns, tuple(part.rows), part.layout)
        for text, part in reply.parts
    )
    table = (reply.columns, tuple(reply.rows))
    return m.Outcome(request.seq, reply.code, tuple(reply.messages), *table, figures, reply.layout, parts)


def perform(core: Core, operation: str, args: Args) -> Reply:
    """Carry out an operation by name. Long ones run as a numbered process, in the background unless WAIT=YES."""
    try:
        if caller() != SERVER:
            authorize(core, caller(), operation, args)
        if operation in PROCESSES:
            return _process(core, operation, args)
        command = COMMANDS.get(operation)
        if command is None:
            return Reply([f"ANR2000E Unknown command - {operation.upper()}."], code=SYNTAX)
        if operation.split(" ")[0] not in _LOOKS:
            core.changed.set()
        return command(core, args)
    except HoldfastError as error:
        return _failure(error)


COMMANDS["run"] = scripts.runner(perform)
_DETAILED = frozenset({"stgpool", "volume", "db", "node", "filespace", "schedule"})
_SYSTEM = (
    "status", "option", "stgpool", "volume", "db", "node", "filespace", "domain", "copygroup", "devclass", "server",
    "schedule", "process", "session",
)  # fmt: skip


def query_system(core: Core, _args: Args) -> Reply:
    """QUERY SYSTEM: what support asks for first, in one answer."""
    asked = [(f"query {noun}", {"format": "detailed"} if noun in _DETAILED else {}) for noun in _SYSTEM]
    parts = [(operation.upper(), perform(core, operation, args)) for operation, args in asked]
    return Reply(parts=[(text, part) for text, part in parts if part.rows])


COMMANDS["query system"] = query_system


def _process(core: Core, operation: str, args: Args) -> Reply:
    what = operation.upper()
    process = core.processes.begin(what, core.now_ns())
    number = process.number
    foreground = choice(args, "wait", "YES" if operation in _ALWAYS_WAIT else "NO", "YES", "NO") == "YES"
    ground = "FOREGROUND" if foreground else "BACKGROUND"
    started = core.log(
        "ANR0984I", process=number, number=number, what=what, ground=ground, time=query.stamp(core.now_ns())
    )
    if foreground:
        reply = _attempt(core, operation, args, process)
        reply.messages.insert(0, started)
        return reply
    thread = threading.Thread(target=_attempt, args=(core, operation, args, process), name=what, daemon=True)
    thread.start()
    return Reply([started])


_LOOKS = frozenset({"query", "select"})
"""Verbs that change nothing: after any other the watch looks for what there is to do, and saves the configuration."""
_ALWAYS_WAIT = frozenset({"reconcile volumes", "delete volume", "delete volhistory"})


def _attempt(core: Core, operation: str, args: Args, process: Process) -> Reply:
    number = process.number
    try:
        reply = PROCESSES[operation](core, args, process)
    except HoldfastError as error:
        reply = _failure(error)
        for text in reply.messages:
            core.log_text(text, process=number)
    finally:
        core.processes.end(process)
    successful = reply.code == 0
    entity = args.get("name", args.get("primary", args.get("devclass", ""))).upper()
    summarise_process(core, operation, process, entity, bool(reply.figures.get("full")), successful)
    state = "SUCCESS" if successful else "CANCELED" if process.cancelled else "FAILURE"
    time = query.stamp(core.now_ns())
    reply.messages.append(
        core.log("ANR0985I", process=number, number=number, what=operation.upper(), state=state, time=time)
    )
    return reply


def _failure(error: HoldfastError) -> Reply:
    code = SYNTAX if isinstance(error, InputError) else ERROR
    if isinstance(error, Refused):
        code = CODES.get(error.refusal.code, ERROR)
    text = (
        error.message
        if error.message.startswith("AN")
        else messages.text("ANR2103E", what="Command", reason=error.message)
    )
    return Reply([text, *([f"remedy: {error.remedy}"] if error.remedy else [])], code=code)
