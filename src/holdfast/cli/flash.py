"""``holdfast flash``: point-in-time copies inside one array, by native commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from holdfast.cli.array import Connect, array_option, done, show
from holdfast.cli.completion import Names, no_names, pair_completer
from holdfast.cli.watching import watch, watch_option

_COLUMNS = (
    *("id", "state", "recording", "persistent", "revertible", "background_copy"),
    *("out_of_sync_tracks", "tracks_to_copy", "tracks_total"),
)


def commands(connect: Connect, names: Names = no_names) -> click.Group:
    """Return the group; ``names`` completes pairs."""

    @click.group("flash", help="Flash copies. Pairs are written SOURCE:TARGET.")
    def flash() -> None:
        """Group only."""

    some = click.argument("pairs", nargs=-1, required=True, shell_complete=pair_completer(names, "address", "flashes"))

    _add_list(flash, connect)

    def add(name: str, verb: str, text: str) -> None:
        @flash.command(name, help=f"{text}\n\nExample: holdfast flash {name} 1260:1360 1261:1361")
        @_options
        @some
        @array_option
        def act(pairs: tuple[str, ...], address: str, as_json: bool, **given: bool) -> None:
            connect(address).change(verb, list(pairs), persist=given["record"], **given)
            done(verb, pairs, as_json)

    add("create", "mkflash", "Make copies of one point in time.")
    add("resync", "resyncflash", "Move the point in time to now; only changed tracks are copied.")
    add("reverse", "reverseflash", "Give the source what its copy holds. From then on the pair is TARGET:SOURCE.")

    def plain(name: str, verb: str, text: str, **fixed: bool) -> None:
        @flash.command(name, help=f"{text}\n\nExample: holdfast flash {name} 1260:1360")
        @some
        @array_option
        def act(pairs: tuple[str, ...], address: str, as_json: bool) -> None:
            connect(address).change(verb, list(pairs), **fixed)
            done(verb, pairs, as_json)

    plain("restore", "reverseflash", _RESTORE, fast=True)
    plain("revertible", "setrevertible", _REVERTIBLE)
    _add_settling(flash, connect)

    @flash.command("remove", help="Withdraw copies.\n\nExample: holdfast flash remove 1260:1360")
    @click.option("--finish", is_flag=True, help="Copy what is left first.")
    @some
    @array_option
    def remove(pairs: tuple[str, ...], finish: bool, address: str, as_json: bool) -> None:
        connect(address).change("rmflash", list(pairs), copy=finish)
        done("rmflash", pairs, as_json)

    return flash


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a relation, named as the array names them."""
    for flag, name, default, text in reversed(_OPTIONS):
        function = click.option(flag, name, default=default, is_flag=True, help=text)(function)
    return function


_OPTIONS = (
    ("--record/--no-record", "record", True, "Record changes, so it can be resynced."),
    ("--copy/--no-copy", "copy", True, "Copy in the background."),
    ("--inhibit-target", "tgtinhibit", False, "Refuse writes to the target."),
    ("--freeze", "freeze", False, "Hold the sources' writes until they are thawed or the time is up."),
    ("--onto-source", "tgtpprc", False, "The target may be the source of a mirror, which then copies it."),
    ("--several", "multinc", False, "More than one copy of a source may record."),
)
_RESTORE = """Give the source what its copy holds although the copy is not complete.

The copy is of no use afterwards; the relation ends when the source has everything."""
_REVERTIBLE = """Move the point in time to now and keep the earlier one, until commit or revert.

Writes to both volumes are refused meanwhile."""


def _add_list(flash: click.Group, connect: Connect) -> None:
    @flash.command("list", help="List relations.\n\nExample: holdfast flash list --array 10.77.1.20 --watch")
    @watch_option
    @array_option
    def list_flashes(address: str, as_json: bool, watched: bool) -> None:
        array = connect(address)
        if watched:
            watch(lambda: array.run("flashes").rows, _COLUMNS[:-1], as_json)
        else:
            show(array.run("flashes").rows, _COLUMNS, as_json)


def _add_settling(flash: click.Group, connect: Connect) -> None:
    def add(name: str, verb: str, text: str) -> None:
        @flash.command(name, help=f"{text} Names source volumes.\n\nExample: holdfast flash {name} 1260")
        @click.argument("volumes", nargs=-1, required=True)
        @array_option
        def act(volumes: tuple[str, ...], address: str, as_json: bool) -> None:
            connect(address).change(verb, list(volumes))
            done(verb, volumes, as_json)

    add("commit", "commitflash", "Give up the earlier point in time of revertible copies.")
    add("revert", "revertflash", "Return revertible copies to their earlier point in time.")
