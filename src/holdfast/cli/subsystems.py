"""``holdfast pair``: what concerns whole subsystems: paths, and freezing their writes. Subsystems are written 12:13."""

from __future__ import annotations

from typing import Any

import click

from holdfast.cli.array import Connect, array_option, done, show

_COLUMNS = ("source_lss", "target_lss", "peer", "state", "consistgrp", "ports")
_FREEZE = "Hold the writes of source subsystems, suspend their pairs and remove their paths, at one moment."
_OPEN = "Make a path between a subsystem here and one of the other array."
_CLOSE = "Remove a path. Pairs that use it need it made again before they are resumed."


def add_subsystem_commands(pair: click.Group, connect: Connect) -> click.Group:
    """Add the commands to the group of pairs and return it."""

    @pair.command("paths", help="List paths.\n\nExample: holdfast pair paths --array 10.77.1.20")
    @click.argument("subsystems", nargs=-1)
    @array_option
    def paths(subsystems: tuple[str, ...], address: str, as_json: bool) -> None:
        show(connect(address).run("lsspaths", list(subsystems)).rows, _COLUMNS, as_json)

    def add(name: str, verb: str, text: str, flag: tuple[str, str, str] | None = None) -> None:
        @pair.command(name, help=f"{text}\n\nExample: holdfast pair {name} 12:12 --remote IBM.2107-75FA150")
        @click.argument("subsystems", nargs=-1, required=True)
        @click.option("--remote", default="", help="The other array; may be left out when there is only one.")
        @array_option
        def act(subsystems: tuple[str, ...], remote: str, address: str, as_json: bool, **given: bool) -> None:
            options: dict[str, Any] = {**given, **({"remote": remote} if remote else {})}
            connect(address).change(verb, list(subsystems), **options)
            done(verb, subsystems, as_json)

        if flag is not None:
            option, parameter, meaning = flag
            act.params.insert(1, click.Option((option, parameter), is_flag=True, help=meaning))

    group = ("--consistency-group", "consistgrp", "An error of one pair holds the writes of the whole subsystem.")
    add("open-path", "mkpath", _OPEN, group)
    add("close-path", "rmpath", _CLOSE, ("--force", "force", "Suspend the pairs that use it."))
    add("freeze", "freeze", _FREEZE)
    add("thaw", "thaw", "Let held writes of subsystems go.")
    return pair
