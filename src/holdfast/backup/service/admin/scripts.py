"""Server scripts: kept line by line, read whole before the first command runs, run with the caller's own authority.

What a script is stands in ``plan.scripts``; here are its commands and the one that runs it. A script ends with the
return code of its last command, so that it can recover from what it expected (``IF(RC_NOTFOUND) ...``).
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from holdfast.backup.model.pools import NAME_LIMIT
from holdfast.backup.model.returncodes import Severity, severity
from holdfast.backup.plan.scripts import STEP_LIMIT, Kind, Script, Statement, read_script
from holdfast.backup.service.admin.caller import author
from holdfast.backup.service.admin.query import stamp
from holdfast.backup.service.admin.reply import ERROR, Args, Reply, answer, choice, identifier, matching, number, refuse
from holdfast.backup.service.catalog.administration import script_lines, scripts
from holdfast.backup.service.core import Core

Perform = Callable[[Core, str, Args], Reply]
_LINE_CHARACTERS = 2_000
_MOST_LINES = 1_000
_LINE_STEP = 5
_DEPTH = 10
_SIDE_BY_SIDE = 4
_depth: contextvars.ContextVar[int] = contextvars.ContextVar("script depth", default=0)


def _existing(connection: Connection, name: str) -> Any:
    row = connection.execute(select(scripts).where(scripts.c.name == name)).first()
    if row is None:
        raise refuse("not-found", f"ANR2102E Command script {name} is not defined.", "DEFINE SCRIPT")
    return row


def _checked(text: str) -> str:
    if not text.strip() or len(text) > _LINE_CHARACTERS:
        raise refuse("invalid", "ANR2020E Invalid parameter - the command line", f"1 to {_LINE_CHARACTERS} characters")
    return text


def _put(connection: Connection, name: str, args: Args) -> None:
    """Write one line: over the one with its number, or behind the last."""
    text = _checked(args.get("command", ""))
    last = connection.execute(select(func.max(script_lines.c.line)).where(script_lines.c.script == name)).scalar()
    line = number(args, "line", 1 if last is None else last + _LINE_STEP, 1, 999_999)
    count = connection.execute(select(func.count()).where(script_lines.c.script == name)).scalar_one()
    if count >= _MOST_LINES:
        raise refuse("invalid", f"ANR2103E a script has at most {_MOST_LINES} lines", "RUN another script from it")
    where = (script_lines.c.script == name, script_lines.c.line == line)
    connection.execute(delete(script_lines).where(*where))
    connection.execute(insert(script_lines), {"script": name, "line": line, "command": text})


def define_script(core: Core, args: Args) -> Reply:
    """DEFINE SCRIPT name ["command"] [LINE=] [DESCRIPTION=]."""
    name = identifier(args, "name", NAME_LIMIT)
    with core.database.write() as connection:
        if connection.execute(select(scripts).where(scripts.c.name == name)).first() is not None:
            raise refuse("exists", f"ANR2101E DEFINE SCRIPT: Command script {name} is already defined.")
        values = {"name": name, "description": args.get("description", "")}
        connection.execute(insert(scripts), {**values, "changed_ns": core.now_ns(), "changed_by": author()})
        if "command" in args:
            _put(connection, name, args)
    return Reply([core.log("ANR1454I", name=name)])


def update_script(core: Core, args: Args) -> Reply:
    """UPDATE SCRIPT name ["command"] [LINE=] [DESCRIPTION=]: the line is replaced, or added behind the last."""
    name = identifier(args, "name")
    with core.database.write() as connection:
        _existing(connection, name)
        values: dict[str, Any] = {"changed_ns": core.now_ns(), "changed_by": author()}
        if "description" in args:
            values["description"] = args["description"]
        elif "command" not in args:
            raise refuse("invalid", "ANR2022E One or more parameters are missing", "a command or DESCRIPTION=")
        connection.execute(update(scripts).where(scripts.c.name == name).values(values))
        if "command" in args:
            _put(connection, name, args)
    return Reply([core.log("ANR1456I", name=name)])


def delete_script(core: Core, args: Args) -> Reply:
    """DELETE SCRIPT name [LINE=]."""
    name = identifier(args, "name")
    with core.database.write() as connection:
        _existing(connection, name)
        mine = script_lines.c.script == name
        if "line" in args:
            line = number(args, "line", 0, 1, 999_999)
            if not connection.execute(delete(script_lines).where(mine, script_lines.c.line == line)).rowcount:
                raise refuse("not-found", f"ANR2102E Line {line} of command script {name} is not defined.")
        else:
            connection.execute(delete(script_lines).where(mine))
            connection.execute(delete(scripts).where(scripts.c.name == name))
    return Reply([core.log("ANR1457I", name=name)])


def _duplicate(core: Core, args: Args, keep: bool) -> Reply:
    old, new = identifier(args, "name"), identifier(args, "newname", NAME_LIMIT)
    with core.database.write() as connection:
        row = _existing(connection, old)
        if connection.execute(select(scripts).where(scripts.c.name == new)).first() is not None:
            raise refuse("exists", f"ANR2101E Command script {new} is already defined.")
        connection.execute(insert(scripts), {**row._mapping, "name": new})
        lines = connection.execute(select(script_lines).where(script_lines.c.script == old)).all()
        if lines:
            connection.execute(insert(script_lines), [{**line._mapping, "script": new} for line in lines])
        if not keep:
            connection.execute(delete(script_lines).where(script_lines.c.script == old))
            connection.execute(delete(scripts).where(scripts.c.name == old))
    return Reply([core.log("ANR1455I", done="copied" if keep else "renamed", name=old, newname=new)])


def copy_script(core: Core, args: Args) -> Reply:
    """COPY SCRIPT name newname."""
    return _duplicate(core, args, keep=True)


def rename_script(core: Core, args: Args) -> Reply:
    """RENAME SCRIPT name newname."""
    return _duplicate(core, args, keep=False)


def query_script(core: Core, args: Args) -> Reply:
    """QUERY SCRIPT [name] FORMAT=STANDARD|DETAILED|LINES|RAW|MACRO."""
    matches = matching(args)
    layout = choice(args, "format", "STANDARD", "STANDARD", "DETAILED", "LINES", "RAW", "MACRO")
    with core.database.read() as connection:
        rows = connection.execute(select(scripts).order_by(scripts.c.name)).all()
        lines = connection.execute(select(script_lines).order_by(script_lines.c.script, script_lines.c.line)).all()
    found = [row for row in rows if matches(row.name)]
    mine = {row.name: [line for line in lines if line.script == row.name] for row in found}
    if layout == "STANDARD":
        columns: tuple[str, ...] = ("Name", "Description")
        return answer("QUERY SCRIPT", columns, [(row.name, row.description) for row in found])
    if layout == "DETAILED":
        columns = ("Name", "Line Number", "Command", "Last Update by (administrator)", "Last Update Date/Time")
        shown = [
            (row.name, *pair, row.changed_by, stamp(row.changed_ns))
            for row in found
            for pair in (("DESCRIPTION", row.description), *((str(x.line), x.command) for x in mine[row.name]))
        ]  # fmt: skip
        return answer("QUERY SCRIPT", columns, shown, detailed=True)
    if layout == "LINES":
        columns = ("Name", "Line Number", "Command")
        return answer(
            "QUERY SCRIPT", columns, [(x.script, str(x.line), x.command) for r in found for x in mine[r.name]]
        )
    texts = [
        line.command if layout == "RAW" else _as_macro(line, n) for r in found for n, line in enumerate(mine[r.name])
    ]
    return answer("QUERY SCRIPT", ("Command",), [(text,) for text in texts])


def _as_macro(line: Any, position: int) -> str:
    quote = "'" if '"' in line.command else '"'
    verb = "define" if position == 0 else "update"
    return f"{verb} script {line.script} {quote}{line.command}{quote} line={line.line}"


def runner(perform: Perform) -> Callable[[Core, Args], Reply]:
    """Return RUN, bound to what carries out its commands."""

    def run(core: Core, args: Args) -> Reply:
        """RUN name [values] [PREVIEW=NO|YES] [VERBOSE=NO|YES]."""
        name = identifier(args, "name")
        values = [args[str(position)] for position in range(1, 100) if str(position) in args]
        with core.database.read() as connection:
            _existing(connection, name)
            mine = select(script_lines).where(script_lines.c.script == name).order_by(script_lines.c.line)
            lines = [(line.line, line.command) for line in connection.execute(mine).all()]
        script = read_script(name, lines, values)
        for statement in script.statements:
            if statement.kind is Kind.COMMAND:
                core.read_command(statement.text)
        if choice(args, "preview", "NO", "YES", "NO") == "YES":
            texts = [f"ANR1466I RUN: Command script {name}, Line {s.line} : {_shown(s)}." for s in script.statements]
            return Reply(texts)
        return _run(core, name, script, perform, choice(args, "verbose", "NO", "YES", "NO") == "YES")

    return run


def _shown(statement: Statement) -> str:
    condition = f"IF({','.join(statement.conditions)}) " if statement.conditions else ""
    verb = {Kind.GOTO: "GOTO ", Kind.EXIT: "EXIT", Kind.SERIAL: "SERIAL", Kind.PARALLEL: "PARALLEL"}
    return f"{condition}{verb.get(statement.kind, '')}{statement.text}"


def _run(core: Core, name: str, script: Script, perform: Perform, verbose: bool) -> Reply:
    if _depth.get() >= _DEPTH:
        raise refuse("invalid", f"ANR2103E scripts run one another deeper than {_DEPTH}", "do they call in a circle?")
    token = _depth.set(_depth.get() + 1)
    try:
        reply = Reply()
        for text, part in _steps(core, script, perform):
            if verbose:
                reply.parts.append((text, Reply([f"ANR1466I RUN: Command script {name} : {text}."])))
            reply.parts += part.parts or [(text, part)]
            if part.parts:
                reply.parts.append((text, Reply(part.messages, code=part.code)))
            reply.code = part.code
    finally:
        _depth.reset(token)
    failed = severity(reply.code) is Severity.ERROR
    reply.messages.append(core.log("ANR1463E" if failed else "ANR1462I", name=name))
    return reply


def _steps(core: Core, script: Script, perform: Perform) -> Iterator[tuple[str, Reply]]:
    """Carry the statements out; yield each command with its answer."""
    position = code = 0
    beside: list[str] | None = None
    for _ in range(STEP_LIMIT):
        statement = script.statements[position] if position < len(script.statements) else Statement(0, Kind.EXIT)
        position += 1
        if beside and (statement.kind is not Kind.COMMAND or statement.conditions):
            done = _side_by_side(core, beside, perform)
            yield from done
            code = max((part.code for _, part in done), key=lambda c: (severity(c) is Severity.ERROR, c))
            beside = []
        if not statement.applies(code):
            continue
        match statement.kind:
            case Kind.COMMAND if beside is not None:
                beside.append(statement.text)
            case Kind.COMMAND:
                part = _one(core, statement.text, perform)
                code = part.code
                yield statement.text, part
            case Kind.GOTO:
                position = script.target(statement)
            case Kind.PARALLEL:
                beside = []
            case Kind.SERIAL:
                beside = None
            case Kind.EXIT:
                return
    limit = f"ANR2103E the script took more than {STEP_LIMIT} steps and was ended: does a GOTO go back for ever?"
    yield "GOTO", Reply([limit], code=ERROR)


def _one(core: Core, text: str, perform: Perform) -> Reply:
    command = core.read_command(text)
    core.log("ANR2017I", name=author(), text=command.text)
    return perform(core, command.operation, command.args)


def _side_by_side(core: Core, texts: list[str], perform: Perform) -> list[tuple[str, Reply]]:
    """Carry out commands at once, each as the caller; return them in the order written."""
    with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="script") as pool:
        futures = [pool.submit(contextvars.copy_context().run, _one, core, text, perform) for text in texts]
        return [(text, future.result()) for text, future in zip(texts, futures, strict=True)]


_SEVERITIES = {"INFORMATION": "ANR1496I", "WARNING": "ANR1497W", "ERROR": "ANR1498E", "SEVERE": "ANR1499S"}


def issue_message(core: Core, args: Args) -> Reply:
    """ISSUE MESSAGE INFORMATION|WARNING|ERROR|SEVERE "text": into the activity log."""
    id = _SEVERITIES[choice(args, "severity", "", *_SEVERITIES)]
    return Reply([core.log(id, text=args["text"][:_LINE_CHARACTERS])])


def commit(_core: Core, _args: Args) -> Reply:
    """COMMIT: every command commits itself, so there is nothing left to do."""
    return Reply()


def rollback(_core: Core, _args: Args) -> Reply:
    """ROLLBACK: refused, because every command commits itself."""
    raise refuse("invalid", "ANR2103E nothing can be rolled back: every command commits itself", "undo it by a command")


COMMANDS = {
    "define script": define_script,
    "update script": update_script,
    "delete script": delete_script,
    "copy script": copy_script,
    "rename script": rename_script,
    "query script": query_script,
    "issue message": issue_message,
    "commit": commit,
    "rollback": rollback,
}
