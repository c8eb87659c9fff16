"""``holdfast array``: run a software array, keep its dscli users, and bar hosts from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click


class ArrayClient(Protocol):
    """What the commands need of an array's client."""

    def run(self, verb: str, objects: list[str] | None = None, timeout_s: float = 30.0, **options: Any) -> Any:
        """Send one command."""

    def change(self, verb: str, objects: list[str], timeout_s: float = 30.0, **options: Any) -> Any:
        """Send one command, raise the first refusal."""


Connect = Callable[[str], ArrayClient]


@dataclass(frozen=True, slots=True)
class Wire:
    """``serve(config, ready file)``, ``connect(address)`` and ``add_user(file, name, password, group)``."""

    serve: Callable[[Path, Path | None], None]
    connect: Connect
    add_user: Callable[[Path, str, str, str], None]


def array_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command to an array has."""
    function = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)
    return click.option(
        "--array",
        "address",
        envvar="HOLDFAST_ARRAY",
        required=True,
        metavar="HOST[:PORT]",
        help="The array's management address [env: HOLDFAST_ARRAY].",
    )(function)


def show(rows: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool) -> None:
    """Print rows as JSON or as a plain table."""
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = [columns, *(tuple(str(row.get(name, "")) for name in columns) for row in rows)]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def done(verb: str, objects: tuple[str, ...], as_json: bool) -> None:
    """Say that a change of ``objects`` was done."""
    if as_json:
        click.echo(json.dumps({"done": verb, "objects": list(objects)}))
    else:
        click.echo(f"{verb}: {' '.join(objects)}")


def commands(wire: Wire) -> click.Group:
    """Return the group."""

    @click.group("array", help="The software array: serve volumes, mirror them, bar hosts.")
    def array() -> None:
        """Group only."""

    @array.command("serve", help="Run an array.\n\nExample: holdfast array serve --config array.toml")
    @click.option("--config", required=True, type=click.Path(path_type=Path, exists=True))
    @click.option("--ready-file", type=click.Path(path_type=Path), help="Written with the process id when serving.")
    def serve(config: Path, ready_file: Path | None) -> None:
        wire.serve(config, ready_file)

    @array.command(
        "user", help="Add a dscli user; the password is read from stdin.\n\nExample: holdfast array user --file u admin"
    )
    @click.argument("name")
    @click.option("--file", "path", required=True, type=click.Path(path_type=Path), help="The users file.")
    @click.option("--group", default="admin", show_default=True)
    def user(name: str, path: Path, group: str) -> None:
        wire.add_user(path, name, sys.stdin.readline().rstrip("\n"), group)

    @array.command(
        "revoke", help="Bar a host's keys on all volumes.\n\nExample: holdfast array revoke hosta 7 --array 10.77.1.20"
    )
    @click.argument("host")
    @click.argument("key", type=int)
    @array_option
    def revoke(host: str, key: int, address: str, as_json: bool) -> None:
        rows = wire.connect(address).run("revoke", host=host, key=key).rows
        show(rows, ("array", "host", "key", "sequence", "connections_closed"), as_json)

    @array.command("info", help="Show the array.\n\nExample: holdfast array info --array 10.77.1.20:7501")
    @array_option
    def info(address: str, as_json: bool) -> None:
        show(wire.connect(address).run("info").rows, ("image", "nbd", "volumes"), as_json)

    return array
