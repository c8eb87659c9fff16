"""``holdfast backup``: send what changed to a backup server, and keep a node's password."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from holdfast.backup.operations import help_of
from holdfast.cli.frame import emit, table
from holdfast.cli.ticking import ticking
from holdfast.kernel.errors import InputError

Begun = Callable[[str, Any], None]
"""Hears what is being worked on and gets its figures as they rise."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Named:
    """A selective backup or (``archive``) an archive of what is named."""

    words: tuple[str, ...]
    optfile: Path
    sysfile: Path | None
    node: str
    subdir: bool
    roots: Mapping[str, str]
    archive: bool = False
    description: str = ""
    mgmtclass: str = ""
    delete_files: bool = False


@dataclass(frozen=True, slots=True)
class Wire:
    """``incremental(optfile, sysfile, names, roots, node, say, begun)`` → (figures, exit code, lines for standard
    error)."""

    incremental: Callable[
        [Path, Path | None, tuple[str, ...], Mapping[str, str], str, Say | None, Begun | None],
        tuple[dict[str, Any], int, list[str]],
    ]
    named: Callable[[Named, Say | None], tuple[dict[str, Any], int, list[str]]]
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
    _selective(group, wire)
    _archive(group, wire)
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
        with ticking(quiet=say is not None) as begun:
            figures, code, problems = wire.incremental(optfile, sysfile, filespaces, pairs(roots), node, say, begun)
        for line in problems:
            click.echo(line, err=True)
        text = (
            f"{figures['objects']} objects backed up, {figures['objects_updated']} updated, "
            f"{figures['objects_expired']} expired, {figures['objects_failed']} failed of "
            f"{figures['objects_inspected']} inspected; {figures['stored_bytes']} bytes stored, {figures['seconds']} s"
        )
        emit(figures, as_json, text)
        ctx.exit(code)


_subdir = click.option("--subdir", is_flag=True, help="Subdirectories too.")
_roots = click.option("--snapshotroot", "roots", multiple=True, metavar="FILESPACE=DIRECTORY", help="Read it there.")
_verbose = click.option("--verbose", is_flag=True, help="Print a line per object.")


def _selective(group: click.Group, wire: Wire) -> None:
    @group.command("selective", help=help_of("backup selective"))
    @click.argument("words", nargs=-1, required=True, metavar="FILES...")
    @_optfile
    @_sysfile
    @_node
    @_subdir
    @_roots
    @_verbose
    @_json
    @click.pass_context
    def selective(ctx: click.Context, /, roots: tuple[str, ...], verbose: bool, as_json: bool, **values: Any) -> None:
        _named(ctx, wire, Named(roots=pairs(roots), **values), verbose, as_json)


def _archive(group: click.Group, wire: Wire) -> None:
    @group.command("archive", help=help_of("backup archive"))
    @click.argument("words", nargs=-1, required=True, metavar="FILES...")
    @_optfile
    @_sysfile
    @_node
    @_subdir
    @_roots
    @click.option("--description", default="", help="What the archive is called; default: the date.")
    @click.option("--class", "mgmtclass", default="", help="Management class; default: the list's, then the default.")
    @click.option("--delete-files", is_flag=True, help="Delete the files once the server has them.")
    @_verbose
    @_json
    @click.pass_context
    def archive(ctx: click.Context, /, roots: tuple[str, ...], verbose: bool, as_json: bool, **values: Any) -> None:
        _named(ctx, wire, Named(roots=pairs(roots), archive=True, **values), verbose, as_json)


def _named(ctx: click.Context, wire: Wire, request: Named, verbose: bool, as_json: bool) -> None:
    figures, code, problems = wire.named(request, click.echo if verbose and not as_json else None)
    for line in problems:
        click.echo(line, err=True)
    done = "archived" if request.archive else "backed up"
    text = f"{figures['objects']} objects {done}, {figures['objects_failed']} failed"
    emit(figures, as_json, f"{text}, {figures['stored_bytes']} bytes stored, {figures['seconds']} s")
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
