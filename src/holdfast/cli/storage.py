"""``holdfast array``: extent pools, volume groups and the hosts that they are connected to."""

from __future__ import annotations

from typing import Any

import click

from holdfast.cli.array import Connect, array_option, done, show
from holdfast.cli.frame import emit
from holdfast.kernel.sizes import parse_size

_POOLS = ("id", "limit_bytes", "used_bytes", "volumes")
_GROUPS = ("id", "name", "volumes")
_HOSTS = ("id", "host", "volgroup")


def add_storage_commands(array: click.Group, connect: Connect) -> None:
    """Add the commands to the group of arrays."""
    _add_lists(array, connect)
    _add_pools(array, connect)
    _add_groups(array, connect)
    _add_hosts(array, connect)


def _example(name: str, rest: str = "") -> str:
    return f"\n\nExample: holdfast array {name}{' ' if rest else ''}{rest} --array 10.77.1.20"


def _add_lists(array: click.Group, connect: Connect) -> None:
    def add(name: str, verb: str, columns: tuple[str, ...], text: str) -> None:
        @array.command(name, help=f"{text}{_example(name)}")
        @array_option
        def listing(address: str, as_json: bool) -> None:
            show(connect(address).run(verb).rows, columns, as_json)

    add("pools", "pools", _POOLS, "List extent pools, their limits and what their volumes take.")
    add("volume-groups", "volgroups", _GROUPS, "List volume groups: which volumes are open to the hosts of each.")
    add("hosts", "hosts", _HOSTS, "List host connections: which volume group each host is connected to.")
    add("connections", "connections", ("export",), "List the exports that hosts have open now.")


def _add_pools(array: click.Group, connect: Connect) -> None:
    size = click.option("--size", required=True, help="The limit, for example 100G.")

    def add(name: str, verb: str, text: str) -> None:
        @array.command(name, help=f"{text}{_example(name, 'P1 --size 100G')}")
        @click.argument("pool")
        @size
        @array_option
        def limit(pool: str, size: str, address: str, as_json: bool) -> None:
            connect(address).change(verb, [pool], size_bytes=parse_size(size))
            done(verb, (pool,), as_json)

    add("create-pool", "mkpool", "Make an extent pool with a limit.")
    add("resize-pool", "chpool", "Give an extent pool another limit, not below what is in use.")
    _add_removal(array, connect, "remove-pool", "rmpool", "Remove empty extent pools.", "P1")


def _add_groups(array: click.Group, connect: Connect) -> None:
    @array.command(
        "create-volume-group",
        help="Make a volume group. Volumes in one are served only to hosts connected to it."
        + _example("create-volume-group", "database --volume 1260 --volume 1261"),
    )
    @click.argument("name")
    @click.option("--volume", "volumes", multiple=True, help="A volume of the group; may be given again.")
    @array_option
    def create(name: str, volumes: tuple[str, ...], address: str, as_json: bool) -> None:
        made = connect(address).change("mkvolgroup", [name], volumes=list(volumes)).outcomes[0].object
        emit({"id": made, "name": name}, as_json, f"volume group {made} ({name})")

    @array.command(
        "change-volume-group",
        help="Add volumes to a volume group, take some out, or rename it."
        + _example("change-volume-group", "V0 --add 1262 --remove 1260"),
    )
    @click.argument("group")
    @click.option("--add", "add", multiple=True, help="A volume to add; may be given again.")
    @click.option("--remove", "remove", multiple=True, help="A volume to take out; may be given again.")
    @click.option("--name", help="Another name.")
    @array_option
    def change(
        group: str, add: tuple[str, ...], remove: tuple[str, ...], name: str | None, address: str, as_json: bool
    ) -> None:
        if not (add or remove or name):
            raise click.UsageError("nothing to change: give --add, --remove or --name")
        options: dict[str, Any] = {"add": list(add), "remove": list(remove), **({"name": name} if name else {})}
        connect(address).change("chvolgroup", [group], **options)
        done("chvolgroup", (group,), as_json)

    _add_removal(array, connect, "remove-volume-group", "rmvolgroup", "Remove volume groups.", "V0")


def _add_hosts(array: click.Group, connect: Connect) -> None:
    group = click.option("--volume-group", "group", required=True, help="The volume group, for example V0.")

    @array.command(
        "connect-host",
        help="Connect a host to a volume group." + _example("connect-host", "hosta --volume-group V0"),
    )
    @click.argument("host")
    @group
    @array_option
    def connect_host(host: str, group: str, address: str, as_json: bool) -> None:
        made = connect(address).change("mkhost", [host], volgroup=group).outcomes[0].object
        emit({"id": made, "host": host, "volgroup": group}, as_json, f"host connection {made} of {host} to {group}")

    @array.command(
        "move-host",
        help="Give a host connection another volume group." + _example("move-host", "0000 --volume-group V1"),
    )
    @click.argument("connection")
    @group
    @array_option
    def move_host(connection: str, group: str, address: str, as_json: bool) -> None:
        connect(address).change("chhost", [connection], volgroup=group)
        done("chhost", (connection,), as_json)

    _add_removal(array, connect, "disconnect-host", "rmhost", "Remove host connections.", "0000")


def _add_removal(array: click.Group, connect: Connect, name: str, verb: str, text: str, example: str) -> None:
    @array.command(name, help=f"{text}{_example(name, example)}")
    @click.argument("ids", nargs=-1, required=True)
    @array_option
    def remove(ids: tuple[str, ...], address: str, as_json: bool) -> None:
        connect(address).change(verb, list(ids))
        done(verb, ids, as_json)
