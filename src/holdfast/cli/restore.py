"""``holdfast restore``: bring a filespace, or a part of it, back into a directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from holdfast.backup.operations import help_of
from holdfast.cli.frame import emit


@dataclass(frozen=True, slots=True)
class Request:
    """What to restore, and where to. ``pit`` is the text of date and time."""

    filespace: str
    destination: Path
    optfile: Path
    sysfile: Path | None
    node: str
    under: str
    pitdate: str
    pittime: str
    latest: bool
    replace: bool
    resume: bool = False
    from_node: str = ""


@dataclass(frozen=True, slots=True)
class RetrieveRequest:
    """Which archive objects to bring back, and where to."""

    spec: str
    destination: str
    optfile: Path
    sysfile: Path | None
    node: str
    from_node: str
    subdir: bool
    description: str
    replace: bool


@dataclass(frozen=True, slots=True)
class Wire:
    """``restore(request)`` → (figures, exit code, lines for standard error)."""

    restore: Callable[[Request], tuple[dict[str, Any], int, list[str]]]


_from_node = click.option("--from-node", default="", help="Of this node, as far as it has given access.")


def command(wire: Wire) -> click.Command:
    """Return the command."""

    @click.command(
        "restore",
        help=help_of("restore"),
    )
    @click.argument("filespace")
    @click.argument("destination", type=click.Path(path_type=Path))
    @click.option(
        "--optfile",
        type=click.Path(path_type=Path),
        required=True,
        envvar="DSM_CONFIG",
        help="The option file, dsm.opt.",
    )
    @click.option("--sysfile", type=click.Path(path_type=Path), help="dsm.sys; default: DSM_DIR, then beside dsm.opt.")
    @click.option("--node", default="", help="Node name; default: NODENAME of the stanza.")
    @click.option("--under", default="", help="Only this object or directory, relative to the filespace.")
    @click.option("--pitdate", default="", help="As of this date (2026-11-20, or with time and offset).")
    @click.option("--pittime", default="", help="As of this time of that date; fractions count.")
    @click.option("--latest", is_flag=True, help="The newest version of everything, deleted objects too.")
    @click.option("--replace/--no-replace", default=True, help="Replace files that exist.")
    @click.option("--resume", is_flag=True, help="Go on with a restore that was cut short; what is whole is left.")
    @_from_node
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @click.pass_context
    def restore(ctx: click.Context, /, as_json: bool, **values: Any) -> None:
        figures, code, problems = wire.restore(Request(**values))
        for line in problems:
            click.echo(line, err=True)
        text = f"{figures['objects']} objects restored, {figures['objects_failed']} failed, {figures['bytes']} bytes"
        emit(figures, as_json, f"{text} in {figures['seconds']} s")
        ctx.exit(code)

    return restore


Retrieve = Callable[[RetrieveRequest], tuple[dict[str, Any], int, list[str]]]


def retrieve_command(retrieve: Retrieve) -> click.Command:
    """Return ``holdfast retrieve``."""

    @click.command("retrieve", help=help_of("retrieve"))
    @click.argument("spec", metavar="FILES")
    @click.argument("destination", default="")
    @click.option(
        "--optfile",
        type=click.Path(path_type=Path),
        required=True,
        envvar="DSM_CONFIG",
        help="The option file, dsm.opt.",
    )
    @click.option("--sysfile", type=click.Path(path_type=Path), help="dsm.sys; default: DSM_DIR, then beside dsm.opt.")
    @click.option("--node", default="", help="Node name; default: NODENAME of the stanza.")
    @_from_node
    @click.option("--subdir", is_flag=True, help="Subdirectories too.")
    @click.option("--description", default="", help="Only what was archived under this description.")
    @click.option("--replace/--no-replace", default=True, help="Replace files that exist.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @click.pass_context
    def command(ctx: click.Context, /, as_json: bool, **values: Any) -> None:
        figures, code, problems = retrieve(RetrieveRequest(**values))
        for line in problems:
            click.echo(line, err=True)
        text = f"{figures['objects']} objects retrieved, {figures['objects_failed']} failed, {figures['bytes']} bytes"
        emit(figures, as_json, f"{text} in {figures['seconds']} s")
        ctx.exit(code)

    return command
