"""``holdfast server new`` and ``add-client``: from nothing to a first backup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from holdfast.backup.operations import help_of
from holdfast.cli.frame import emit

_PATH = click.Path(path_type=Path)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@dataclass(frozen=True, slots=True)
class Wire:
    """The functions behind the commands."""

    new: Callable[[Path, str, str], dict[str, Any]]
    add_client: Callable[[Path, str, Path, str], dict[str, Any]]


def add_to(group: click.Group, wire: Wire) -> None:
    """Add the commands to ``holdfast server``."""

    @group.command("new", help=help_of("server new"))
    @click.argument("directory", type=_PATH)
    @click.option("--name", default="SERVER1", show_default=True, help="The server's name.")
    @click.option("--address", default="127.0.0.1:1500", show_default=True, help="Where it answers, HOST:PORT.")
    @_json
    def new(directory: Path, name: str, address: str, as_json: bool) -> None:
        made = wire.new(directory, name, address)
        text = f"server {made['name']} made; start it: holdfast server run --config {made['config']}"
        emit(made, as_json, text)

    @group.command("add-client", help=help_of("server add-client"))
    @click.argument("node")
    @click.option(
        "--config", type=_PATH, required=True, envvar="HOLDFAST_SERVER_CONFIG", help="The server's TOML file."
    )
    @click.option("--into", type=_PATH, required=True, help="Directory for the client's files.")
    @click.option("--domain", default="STANDARD", show_default=True, help="The node's policy domain.")
    @_json
    def add_client(node: str, config: Path, into: Path, domain: str, as_json: bool) -> None:
        made = wire.add_client(config, node, into, domain)
        text = f"node {made['node']} registered; back up: holdfast backup incremental --optfile {made['optfile']}"
        emit(made, as_json, text)
