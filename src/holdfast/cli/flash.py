"""``holdfast flash``: point-in-time copies inside one array, by native commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from holdfast.cli.array import Connect, array_option, done, show
from holdfast.cli.completion import Names, no_names, pair_completer
from holdfast.cli.watching import watch, watch_option

_COLUMNS = ("id", "recording", "persistent", "background_copy", "out_of_sync_tracks", "tracks_to_copy", "tracks_total")


def commands(connect: Connect, names: Names = no_names) -> click.Group:
    """Return the group; ``names`` completes pairs."""

    @click.group("flash", help="Flash copies. Pairs are written SOURCE:TARGET.")
    def flash() -> None:
        """Group only."""

    some = click.argument("pairs", nargs=-1, required=True, shell_complete=pair_completer(names, "address", "flashes"))

    @flash.command("list", help="List relations.\n\nExample: holdfast flash list --array 10.77.1.20 --watch")
    @watch_option
    @array_option
    def list_flashes(address: str, as_json: bool, watched: bool) -> None:
        array = connect(address)
        if watched:
            watch(lambda: array.run("flashes").rows, _COLUMNS[:-1], as_json)
        else:
            show(array.run("flashes").rows, _COLUMNS, as_json)

    def options(function: Callable[..., Any]) -> Callable[..., Any]:
        function = click.option("--record/--no-record", default=True, help="Record changes, so it can be resynced.")(
            function
        )
        function = click.option("--copy/--no-copy", default=True, help="Copy in the background.")(function)
        function = click.option("--inhibit-target", is_flag=True, help="Refuse writes to the target.")(function)
        return array_option(some(function))

    def add(name: str, verb: str, text: str) -> None:
        @flash.command(name, help=f"{text}\n\nExample: holdfast flash {name} 1260:1360 1261:1361")
        @options
        def act(
            pairs: tuple[str, ...], record: bool, copy: bool, inhibit_target: bool, address: str, as_json: bool
        ) -> None:
            connect(address).change(
                verb, list(pairs), record=record, persist=record, copy=copy, tgtinhibit=inhibit_target
            )
            done(verb, pairs, as_json)

    add("create", "mkflash", "Make copies of one point in time.")
    add("resync", "resyncflash", "Move the point in time to now; only changed tracks are copied.")

    @flash.command("remove", help="Withdraw copies.\n\nExample: holdfast flash remove 1260:1360")
    @some
    @array_option
    def remove(pairs: tuple[str, ...], address: str, as_json: bool) -> None:
        connect(address).change("rmflash", list(pairs))
        done("rmflash", pairs, as_json)

    return flash
