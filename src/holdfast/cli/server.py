"""``holdfast server``: make, run and administer a backup server; its recovery kit, and a new server from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from holdfast.backup.operations import help_of
from holdfast.cli.frame import emit, table
from holdfast.cli.watching import watch, watch_option
from holdfast.runtime.textfile import read_text


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered to one operation."""

    code: int
    messages: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: dict[str, Any]
    parts: tuple[Answer, ...] = ()
    """What the commands of a script answered, in order."""


@dataclass(frozen=True, slots=True)
class Wire:
    """The functions behind the commands; ``run`` takes the text of a command, ``operate`` a name and parameters."""

    init: Callable[[Path], bool]
    serve: Callable[[Path], None]
    run: Callable[[Path, str, str], list[Answer]]
    operate: Callable[[Path, str, dict[str, str]], Answer]
    kit: Callable[[Path, Path, Path], None]
    recover: Callable[[Path, Path, str, Path, str, Path | None], dict[str, Any]]
    rebuild: Callable[[Path, tuple[Path, ...], bool], dict[str, Any]]


_PATH = click.Path(path_type=Path)
_config = click.option(
    "--config", type=_PATH, required=True, envvar="HOLDFAST_SERVER_CONFIG", help="The server's TOML file."
)
_PROCESS_COLUMNS = ("number", "name", "status", "done", "total", "unit", "done_bytes")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def commands(wire: Wire) -> click.Group:
    """Return the group."""
    group = click.Group("server", help="The backup server.")
    for add in (_lifecycle, _administration, _activity, _recovery, _rebuild, _objects):
        add(group, wire)
    return group


def _lifecycle(group: click.Group, wire: Wire) -> None:
    @group.command(
        "init",
        help=help_of("server init"),
    )
    @_config
    @_json
    def init(config: Path, as_json: bool) -> None:
        created = wire.init(config)
        emit({"created": created}, as_json, "created" if created else "the server exists already; nothing was changed")

    @group.command(
        "run",
        help=help_of("server run"),
    )
    @_config
    def run(config: Path) -> None:
        wire.serve(config)


def _value(answer: Answer) -> dict[str, Any]:
    return {
        "code": answer.code,
        "messages": answer.messages,
        "rows": [dict(zip(answer.columns, row, strict=True)) for row in answer.rows],
        **({"figures": answer.figures} if answer.figures else {}),
        **({"parts": [_value(part) for part in answer.parts]} if answer.parts else {}),
    }


def show(answers: list[Answer], as_json: bool, ctx: click.Context) -> None:
    """Print answers and end with the highest return code."""
    values = [_value(answer) for answer in answers]
    flat = [part for answer in answers for part in (*answer.parts, answer)]
    text = "\n".join(
        line for part in flat for line in (table(part.columns, part.rows) if part.rows else "", *part.messages) if line
    )
    emit(values[0] if len(values) == 1 else values, as_json, text)
    ctx.exit(max((answer.code for answer in answers), default=0))


def _administration(group: click.Group, wire: Wire) -> None:
    @group.command(
        "command",
        help=help_of("server command"),
    )
    @click.argument("text", required=False, default="")
    @_config
    @click.option("--macro", type=_PATH, help="A file of commands.")
    @_json
    @click.pass_context
    def command(ctx: click.Context, text: str, config: Path, macro: Path | None, as_json: bool) -> None:
        if bool(text) == bool(macro):
            raise click.UsageError("give a command or --macro FILE")
        content, name = (read_text(macro), str(macro)) if macro else (text, "command")
        show(wire.run(config, content, name), as_json, ctx)

    @group.command(
        "reconcile",
        help=help_of("server reconcile"),
    )
    @click.argument("devclass", default="*")
    @_config
    @click.option("--fix", type=click.Choice(["yes", "no"]), default="no", help="Settle what is found.")
    @_json
    @click.pass_context
    def reconcile(ctx: click.Context, devclass: str, config: Path, fix: str, as_json: bool) -> None:
        answer = wire.operate(config, "reconcile volumes", {"devclass": devclass, "fix": fix.upper()})
        empty: dict[str, Any] = {"found": [], "settled": []}
        value = {**empty, **answer.figures, "code": answer.code, "messages": answer.messages}
        emit(value, as_json, "\n".join(answer.messages))
        ctx.exit(answer.code)


def _activity(group: click.Group, wire: Wire) -> None:
    @group.command("processes", help=help_of("server processes"))
    @_config
    @_json
    @watch_option
    def processes(config: Path, as_json: bool, watched: bool) -> None:
        def fetch() -> list[dict[str, Any]]:
            found = wire.operate(config, "query process", {}).figures.get("processes", [])
            return [{"id": str(row["number"]), **row} for row in found]

        if watched:
            watch(fetch, _PROCESS_COLUMNS, as_json, lambda row: (row["total"] - row["done"], row["total"]))
        rows = fetch()
        shown = [[str(row[name]) for name in _PROCESS_COLUMNS] for row in rows]
        emit(rows, as_json, table(_PROCESS_COLUMNS, shown) if rows else "no process runs")

    @group.command("sessions", help=help_of("server sessions"))
    @_config
    @_json
    @click.pass_context
    def sessions(ctx: click.Context, config: Path, as_json: bool) -> None:
        show([wire.operate(config, "query session", {})], as_json, ctx)


def _recovery(group: click.Group, wire: Wire) -> None:
    @group.command(
        "kit",
        help=help_of("server kit"),
    )
    @_config
    @click.option("--out", type=_PATH, required=True, help="The file to write; keep it away from the server.")
    @click.option("--passphrase-file", type=_PATH, required=True, help="File of mode 600.")
    @_json
    def kit(config: Path, out: Path, passphrase_file: Path, as_json: bool) -> None:
        wire.kit(config, out, passphrase_file)
        emit({"kit": str(out)}, as_json, f"recovery kit written to {out}")

    @group.command(
        "recover",
        help=help_of("server recover"),
    )
    @click.option("--kit", "kit_file", type=_PATH, required=True, help="The recovery kit.")
    @click.option("--passphrase-file", type=_PATH, required=True, help="File of mode 600.")
    @click.option("--from", "target", required=True, metavar="HOST:PORT", help="The server that keeps the volumes.")
    @click.option("--directory", type=_PATH, required=True, help="The new server's directory.")
    @click.option("--address", default="0.0.0.0:1500", metavar="HOST:PORT", help="Where the new server listens.")
    @click.option("--ready-file", type=_PATH, help="Written when the new server answers.")
    @_json
    def recover(
        kit_file: Path,
        passphrase_file: Path,
        target: str,
        directory: Path,
        address: str,
        ready_file: Path | None,
        as_json: bool,
    ) -> None:
        value = wire.recover(kit_file, passphrase_file, target, directory, address, ready_file)
        text = (
            f"{value['name']} restored from series {value['series']}.{value['operation']}; "
            f"run it with --config {value['config_file']}"
        )
        emit(value, as_json, text)


def _rebuild(group: click.Group, wire: Wire) -> None:
    @group.command(
        "rebuild-catalog",
        help=help_of("server rebuild-catalog"),
    )
    @_config
    @click.option("--volumes", "directories", type=_PATH, multiple=True, help="A directory of volumes; repeatable.")
    @click.option("--replace", is_flag=True, help="Set an existing catalog aside as catalog.db.before.")
    @_json
    @click.pass_context
    def rebuild(ctx: click.Context, config: Path, directories: tuple[Path, ...], replace: bool, as_json: bool) -> None:
        value = wire.rebuild(config, directories, replace)
        lines = [f"{value['versions']} versions of {value['filespaces']} filespaces from {value['volumes']} volumes"]
        lines += [f"damaged: {text}" for text in value["damaged"]] + [f"lost: {text}" for text in value["lost"]]
        emit(value, as_json, "\n".join(lines))
        ctx.exit(8 if value["damaged"] or value["lost"] else 0)


def _objects(group: click.Group, wire: Wire) -> None:
    @group.group("object", help="Archive objects that this server keeps for another: an administrator's tools.")
    def objects() -> None:
        """Group only."""

    def define(verb: str, summary: str, parameters: tuple[str, ...]) -> None:
        def call(ctx: click.Context, config: Path, as_json: bool, **values: str) -> None:
            show([wire.operate(config, f"{verb} object", values)], as_json, ctx)

        params: list[click.Parameter] = [click.Argument([name]) for name in parameters]
        name = "list" if verb == "query" else verb
        words = " ".join(
            {"node": "DELHI", "name": "ADSM.DELHI.BFS.1", "newname": "ADSM.DELHI.BFS.2"}[p] for p in parameters
        )
        example = f"holdfast server object {name} {words} --config tokyo.toml"
        made = click.Command(
            name, callback=click.pass_context(call), params=params, help=f"{summary}\n\nExample: {example}"
        )
        objects.add_command(_config(_json(made)))

    define("query", "List them with what their files show.", ("node",))
    define("mark", "Mark one for deletion; it goes after the grace period.", ("node", "name"))
    define("copy", "Keep a second object with the same bytes.", ("node", "name", "newname"))
