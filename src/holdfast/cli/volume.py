"""``holdfast volume``: volumes of an array, and block devices made of them on this system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click

from holdfast.cli.array import Connect, array_option, done, show
from holdfast.cli.completion import Names, completer, no_names
from holdfast.cli.frame import emit
from holdfast.kernel.sizes import parse_size
from holdfast.replication.model.identity import access_key

_ATTACH_HELP = """Attach a volume as a block device (root).

Example: holdfast volume attach 1260 --host hosta --key 1 --run-dir /run/holdfast/1260
"""
_COLUMNS = ("id", "name", "size_bytes", "pool", "tracks", "writable")


class Device(Protocol):
    """An attached volume."""

    @property
    def path(self) -> Path:
        """The block device."""

    @property
    def pid(self) -> int:
        """The process that serves it."""


@dataclass(frozen=True, slots=True)
class Wire:
    """``connect(address)``, ``attach(uri, run directory, as a loop device)`` and ``detach(run directory)``."""

    connect: Connect
    attach: Callable[[str, Path, bool], Device]
    detach: Callable[[Path], None]
    names: Names = no_names


def _uri(wire: Wire, address: str, volume: str, host: str, key: int) -> str:
    return f"nbd://{wire.connect(address).run('info').rows[0]['nbd']}/{host}.{key}/{volume.upper()}"


def commands(wire: Wire) -> click.Group:
    """Return the group."""

    @click.group("volume", help="Volumes of an array, and block devices made of them.")
    def volume() -> None:
        """Group only."""

    some = click.argument(
        "volumes", nargs=-1, required=True, shell_complete=completer(wire.names, "address", "volumes")
    )

    @volume.command("list", help="List volumes.\n\nExample: holdfast volume list --array 10.77.1.20 --json")
    @array_option
    def list_volumes(address: str, as_json: bool) -> None:
        show(wire.connect(address).run("volumes").rows, _COLUMNS, as_json)

    @volume.command("remove", help="Remove volumes and their data.\n\nExample: holdfast volume remove 1299")
    @some
    @array_option
    def remove(volumes: tuple[str, ...], address: str, as_json: bool) -> None:
        wire.connect(address).change("rmvolume", list(volumes))
        done("remove", volumes, as_json)

    @volume.command("digest", help="Print the BLAKE3 of volumes' bytes.\n\nExample: holdfast volume digest 1260")
    @some
    @array_option
    def digest(volumes: tuple[str, ...], address: str, as_json: bool) -> None:
        show(wire.connect(address).run("digest", list(volumes)).rows, ("id", "blake3"), as_json)

    _add_changes(volume, wire, some)
    _add_host_commands(volume, wire)
    return volume


def _add_changes(volume: click.Group, wire: Wire, some: Callable[..., Any]) -> None:
    @volume.command("create", help="Create volumes.\n\nExample: holdfast volume create 1260 1261 --size 64M --pool P1")
    @click.argument("volumes", nargs=-1, required=True)
    @click.option("--size", required=True, help="Size of each, for example 64M.")
    @click.option("--pool", default="P0", show_default=True, help="The extent pool.")
    @click.option("--standard", is_flag=True, help="Let each take its whole size from the pool at once.")
    @array_option
    def create(volumes: tuple[str, ...], size: str, pool: str, standard: bool, address: str, as_json: bool) -> None:
        sam = "standard" if standard else "ese"
        wire.connect(address).change("mkvolume", list(volumes), size_bytes=parse_size(size), pool=pool, sam=sam)
        done("create", volumes, as_json)

    @volume.command("change", help="Grow or rename volumes.\n\nExample: holdfast volume change 1260 --size 128M")
    @some
    @click.option("--size", help="A larger size, for example 128M.")
    @click.option("--name", "label", help="Another name.")
    @array_option
    def change(volumes: tuple[str, ...], size: str | None, label: str | None, address: str, as_json: bool) -> None:
        if size is None and label is None:
            raise click.UsageError("nothing to change: give --size or --name")
        options: dict[str, Any] = {} if size is None else {"size_bytes": parse_size(size)}
        options |= {} if label is None else {"name": label}
        wire.connect(address).change("chvolume", list(volumes), **options)
        done("change", volumes, as_json)


def _add_host_commands(volume: click.Group, wire: Wire) -> None:
    one = click.argument("name", metavar="VOLUME", shell_complete=completer(wire.names, "address", "volumes"))
    host = click.option(
        "--host",
        required=True,
        envvar="HOLDFAST_SYSTEM",
        help="This system's name at the array.",
    )
    key = click.option(
        "--key",
        required=True,
        envvar="HOLDFAST_INCARNATION",
        callback=lambda _ctx, _param, text: access_key(text),
        help="This system's key or incarnation.",
    )
    run_dir = click.option(
        "--run-dir", required=True, type=click.Path(path_type=Path), help="One directory per volume."
    )

    @volume.command(
        "uri", help="Print where a host reaches a volume.\n\nExample: holdfast volume uri 1260 --host h --key 1"
    )
    @one
    @host
    @key
    @array_option
    def uri(name: str, host: str, key: int, address: str, as_json: bool) -> None:
        found = _uri(wire, address, name, host, key)
        emit({"uri": found}, as_json, found)

    @volume.command("attach", help=_ATTACH_HELP)
    @one
    @host
    @key
    @run_dir
    @click.option("--file", "as_file", is_flag=True, help="Show a file only; mount it with -o loop.")
    @array_option
    def attach(name: str, host: str, key: int, run_dir: Path, as_file: bool, address: str, as_json: bool) -> None:
        device = wire.attach(_uri(wire, address, name, host, key), run_dir, not as_file)
        emit({"device": str(device.path), "pid": device.pid}, as_json, str(device.path))

    @volume.command("detach", help="Undo attach.\n\nExample: holdfast volume detach --run-dir /run/holdfast/1260")
    @run_dir
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    def detach(run_dir: Path, as_json: bool) -> None:
        wire.detach(run_dir)
        done("detach", (str(run_dir),), as_json)
