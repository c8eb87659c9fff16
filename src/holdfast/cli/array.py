"""``holdfast array``: run a software array, keep its dscli users, and bar hosts from it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click

from holdfast.cli.frame import emit, table
from holdfast.kernel.errors import InputError


class ArrayClient(Protocol):
    """What the commands need of an array's client."""

    def run(self, verb: str, objects: list[str] | None = None, timeout_s: float = 30.0, **options: Any) -> Any:
        """Send one command."""

    def change(self, verb: str, objects: list[str], timeout_s: float = 30.0, **options: Any) -> Any:
        """Send one command, raise the first refusal."""


Connect = Callable[[str], ArrayClient]


@dataclass(frozen=True, slots=True)
class Wire:
    """``serve(config, ready file)``, ``connect(address)``, ``add_user(file, name, password, group)`` and
    ``repair(config, trust access, dry run)``, which returns what was done."""

    serve: Callable[[Path, Path | None], None]
    connect: Connect
    add_user: Callable[[Path, str, str, str], None]
    repair: Callable[[Path, bool, bool], list[str]]


def _address(context: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    host, colon, port = (text or "").rpartition(":")
    if text and colon and (not host or not port.isdecimal() or not 0 < int(port) < 65536):
        if context.resilient_parsing:
            return None
        raise click.BadParameter(f"{text!r} is not HOST or HOST:PORT")
    return text


def array_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command to an array has."""
    function = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)
    return click.option(
        "--array",
        "address",
        envvar="HOLDFAST_ARRAY",
        required=True,
        metavar="HOST[:PORT]",
        callback=_address,
        help="The array's management address.",
    )(function)


def show(rows: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool) -> None:
    """Print rows as JSON or as a plain table."""
    emit(rows, as_json, table(columns, [[row.get(name, "") for name in columns] for row in rows]))


def done(verb: str, objects: tuple[str, ...], as_json: bool) -> None:
    """Say that a change of ``objects`` was done."""
    emit({"done": verb, "objects": list(objects)}, as_json, f"{verb}: {' '.join(objects)}")


_USER_HELP = """Add a dscli user, or change the password, which is the first line of standard input.

Example: holdfast array user --file /etc/holdfast/users admin < /root/admin.password
"""


_REPAIR_HELP = """Bring back an array whose state file is damaged. The array must not run.

It goes by the generation before, or by the volumes' files alone. Every pair counts all its tracks as changed,
FlashCopies become invalid, and every host is barred up to now, because revocations may have been lost. No volume is
touched.

Example: holdfast array repair --config array.toml --dry-run
"""


def commands(wire: Wire) -> click.Group:
    """Return the group."""

    @click.group("array", help="The software array: serve volumes, mirror them, bar hosts.")
    def array() -> None:
        """Group only."""

    @array.command("serve", help="Run an array.\n\nExample: holdfast array serve --config array.toml")
    @click.option(
        "--config", required=True, type=click.Path(path_type=Path, exists=True), help="The array's TOML file."
    )
    @click.option("--ready-file", type=click.Path(path_type=Path), help="Written with the process id when serving.")
    def serve(config: Path, ready_file: Path | None) -> None:
        wire.serve(config, ready_file)

    @array.command("user", help=_USER_HELP)
    @click.argument("name")
    @click.option("--file", "path", required=True, type=click.Path(path_type=Path), help="The users file.")
    @click.option("--group", default="admin", help="The user's group, which says what he may do.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    def user(name: str, path: Path, group: str, as_json: bool) -> None:
        password = sys.stdin.readline().rstrip("\n")
        if not password:
            raise InputError("no password on standard input", remedy="pipe it in; it is never an argument")
        wire.add_user(path, name, password, group)
        emit({"user": name, "group": group, "file": str(path)}, as_json, f"user {name} of group {group} in {path}")

    _add_repair(array, wire)

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


def _add_repair(array: click.Group, wire: Wire) -> None:
    @array.command("repair", help=_REPAIR_HELP)
    @click.option(
        "--config", required=True, type=click.Path(path_type=Path, exists=True), help="The array's TOML file."
    )
    @click.option("--trust-access", is_flag=True, help="Do not bar hosts: no revocation can have been lost.")
    @click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    def repair(config: Path, trust_access: bool, dry_run: bool, as_json: bool) -> None:
        told = wire.repair(config, trust_access, dry_run)
        emit({"done": not dry_run, "repairs": told}, as_json, "\n".join(told))
