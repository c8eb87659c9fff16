"""``holdfast backup``: send what changed to a backup server, and keep a node's password."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from holdfast.backup.operations import help_of
from holdfast.cli.frame import emit, table
from holdfast.kernel.errors import InputError

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wire:
    """``incremental(optfile, sysfile, names, roots, node, say)`` → (figures, exit code, lines for standard error)."""

    incremental: Callable[
        [Path, Path | None, tuple[str, ...], Mapping[str, str], str, Say | None], tuple[dict[str, Any], int, list[str]]
    ]
    set_password: Callable[[Path, Path | None, str, Path], Path]
    filespaces: Callable[[Path, Path | None, str], list[dict[str, str]]]


_optfile = click.option(
    "--optfile",
    type=click.Path(path_type=Path),
    required=True,
    envvar="DSM_CONFIG",
    help="The option file, dsm.opt.",
)
_sysfile = click.option(
    "--sysfile", type=click.Path(path_type=Path), help="dsm.sys; default: DSM_DIR, then beside dsm.opt."
)
_node = click.option("--node", default="", help="Node name; default: NODENAME of the stanza.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def pairs(values: tuple[str, ...]) -> dict[str, str]:
    """Return ``FILESPACE=DIRECTORY`` options as a mapping."""
    found = {}
    for value in values:
        name, separator, directory = value.partition("=")
        if not separator or not name.startswith("/") or not directory.startswith("/"):
            raise InputError(f"{value!r} is not FILESPACE=DIRECTORY", remedy="write --snapshotroot /VCS=/mnt/copy")
        found[name.rstrip("/") or "/"] = directory
    return found


def commands(wire: Wire) -> click.Group:
    """Return the group."""
    group = click.Group("backup", help="Back up file systems to a backup server.")
    _incremental(group, wire)
    _node_commands(group, wire)
    return group


def _incremental(group: click.Group, wire: Wire) -> None:
    @group.command(
        "incremental",
        help=help_of("backup incremental"),
    )
    @click.argument("filespaces", nargs=-1)
    @_optfile
    @_sysfile
    @_node
    @click.option("--snapshotroot", "roots", multiple=True, metavar="FILESPACE=DIRECTORY", help="Read it there.")
    @click.option("--verbose", is_flag=True, help="Print a line per object.")
    @_json
    @click.pass_context
    def incremental(
        ctx: click.Context,
        filespaces: tuple[str, ...],
        optfile: Path,
        sysfile: Path | None,
        node: str,
        roots: tuple[str, ...],
        verbose: bool,
        as_json: bool,
    ) -> None:
        say = click.echo if verbose and not as_json else None
        figures, code, problems = wire.incremental(optfile, sysfile, filespaces, pairs(roots), node, say)
        for line in problems:
            click.echo(line, err=True)
        text = (
            f"{figures['objects']} objects backed up, {figures['objects_updated']} updated, "
            f"{figures['objects_expired']} expired, {figures['objects_failed']} failed of "
            f"{figures['objects_inspected']} inspected; {figures['stored_bytes']} bytes stored, {figures['seconds']} s"
        )
        emit(figures, as_json, text)
        ctx.exit(code)


def _node_commands(group: click.Group, wire: Wire) -> None:
    @group.command(
        "set-password",
        help=help_of("backup set-password"),
    )
    @_optfile
    @_sysfile
    @_node
    @click.option("--password-file", type=click.Path(path_type=Path), required=True, help="File of mode 600.")
    @_json
    def set_password(optfile: Path, sysfile: Path | None, node: str, password_file: Path, as_json: bool) -> None:
        path = wire.set_password(optfile, sysfile, node, password_file)
        emit({"file": str(path)}, as_json, f"password kept in {path}")

    @group.command(
        "filespaces",
        help=help_of("backup filespaces"),
    )
    @_optfile
    @_sysfile
    @_node
    @_json
    def filespaces_(optfile: Path, sysfile: Path | None, node: str, as_json: bool) -> None:
        rows = wire.filespaces(optfile, sysfile, node)
        emit(rows, as_json, table(("filespace", "type", "ended"), [(r["name"], r["type"], r["ended"]) for r in rows]))
