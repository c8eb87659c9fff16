"""``holdfast mount``: a filespace as it was, as a read-only file system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from holdfast.backup.operations import help_of
from holdfast.cli.frame import emit


@dataclass(frozen=True, slots=True)
class MountRequest:
    """What to show, and where. ``pitdate`` and ``pittime`` are texts; without them it is now."""

    filespace: str
    mountpoint: Path
    optfile: Path
    sysfile: Path | None
    node: str
    from_node: str
    pitdate: str
    pittime: str
    allow_other: bool
    foreground: bool


Mount = Callable[[MountRequest], dict[str, Any]]
"""Mounts and returns facts: mount point, filespace, point in time, process; in the foreground when it was unmounted."""


def command(mount: Mount) -> click.Command:
    """Return the command."""

    @click.command("mount", help=help_of("mount"))
    @click.argument("filespace")
    @click.argument("mountpoint", type=click.Path(path_type=Path))
    @click.option(
        "--optfile",
        type=click.Path(path_type=Path),
        required=True,
        envvar="DSM_CONFIG",
        help="The option file, dsm.opt.",
    )
    @click.option("--sysfile", type=click.Path(path_type=Path), help="dsm.sys; default: DSM_DIR, then beside dsm.opt.")
    @click.option("--node", default="", help="Node name; default: NODENAME of the stanza.")
    @click.option("--from-node", default="", help="Of this node, as far as it has given access.")
    @click.option("--pitdate", default="", help="As of this date (2026-11-20, or with time and offset).")
    @click.option("--pittime", default="", help="As of this time of that date; fractions count.")
    @click.option("--allow-other", is_flag=True, help="Other users may look too, as far as the modes let them.")
    @click.option("--foreground", is_flag=True, help="Stay until it is unmounted.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    def mount_(as_json: bool, **values: Any) -> None:
        facts = mount(MountRequest(**values))
        text = f"{facts['filespace']} as of {facts['at']} is mounted on {facts['mountpoint']}"
        emit(facts, as_json, text if not values["foreground"] else "")

    return mount_
