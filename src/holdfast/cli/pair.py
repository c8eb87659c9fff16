"""``holdfast pair``: Metro Mirror pairs by native commands. ``failover`` and ``failback`` go to the recovery array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from holdfast.cli.array import Connect, array_option, done, show
from holdfast.cli.completion import Names, no_names, pair_completer
from holdfast.cli.frame import emit
from holdfast.cli.subsystems import add_subsystem_commands
from holdfast.cli.watching import watch, watch_option
from holdfast.replication.plan.picture import describe, draw

_COLUMNS = ("id", "source", "target", "state", "reason", "out_of_sync_tracks", "tracks_copied", "tracks_total")

_GRAPH_HELP = """Show who mirrors to whom, in which state, and how far each target is behind; as a picture with --svg.

Example: holdfast pair graph --array 10.77.1.20 --svg pairs.svg
"""


def commands(connect: Connect, names: Names = no_names) -> click.Group:
    """Return the group; ``names`` completes pairs."""

    @click.group("pair", help="Metro Mirror pairs. Pairs are written SOURCE:TARGET, the first volume on --array.")
    def pair() -> None:
        """Group only."""

    @pair.command("list", help="List pairs.\n\nExample: holdfast pair list --array 10.77.1.20 --watch")
    @watch_option
    @array_option
    def list_pairs(address: str, as_json: bool, watched: bool) -> None:
        array = connect(address)
        if watched:
            watch(lambda: array.run("pairs").rows, _COLUMNS[:-2], as_json)
        else:
            show(array.run("pairs").rows, _COLUMNS, as_json)

    @pair.command("graph", help=_GRAPH_HELP)
    @click.option("--svg", "file", type=click.Path(path_type=Path, allow_dash=True), help="Draw into a file, or to -.")
    @array_option
    def graph(address: str, as_json: bool, file: Path | None) -> None:
        rows = connect(address).run("pairs").rows
        if file is None:
            emit(rows, as_json, "\n".join(describe(rows)) or "no pair")
        elif str(file) == "-":
            click.echo(draw(rows), nl=False)
        else:
            file.write_text(draw(rows), "utf-8")
            emit({"file": str(file), "pairs": len(rows)}, as_json, f"{len(rows)} pairs drawn into {file}")

    def add(name: str, verb: str, text: str, force: bool = False) -> None:
        @pair.command(name, help=f"{text}\n\nExample: holdfast pair {name} 1260:1260 --remote IBM.2107-75FA150")
        @click.argument("pairs", nargs=-1, required=True, shell_complete=pair_completer(names, "address", "pairs"))
        @click.option("--remote", default="", help="The other array; may be left out when the pair exists.")
        @click.option("--force", is_flag=True, hidden=not force, help="Accept that acknowledged data are lost.")
        @array_option
        def act(pairs: tuple[str, ...], remote: str, force: bool, address: str, as_json: bool) -> None:
            options: dict[str, Any] = {"remote": remote} if remote else {}
            if force:
                options["force"] = True
            connect(address).change(verb, list(pairs), **options)
            done(verb, pairs, as_json)

    add("create", "mkpair", "Start to mirror volumes.")
    add("failover", "failover", "At the recovery array: make targets writable.", force=True)
    add("failback", "failback", "Copy what either side changed to the other array and mirror this way.")
    add("pause", "pause", "Suspend mirroring.")
    add("resume", "resume", "Copy changed tracks and mirror again.")
    add("remove", "rmpair", "End pairs.")
    return add_subsystem_commands(pair, connect)
