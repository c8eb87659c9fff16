"""``holdfast dialect install``: links the dialects' command names into a directory that the administrator chooses.

Nothing bare lands on PATH by itself: ``lspprc`` and others are host commands on some systems, so the links are made
only where somebody asks for them, and each is a link to the one ``holdfast`` program.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from holdfast.app.main import DIALECTS
from holdfast.cli.frame import emit
from holdfast.kernel.errors import InputError


def dialect_commands() -> click.Group:
    """Return the commands of ``holdfast dialect``."""

    @click.group("dialect", help="The command names that administrators know: hagrp, dscli, dsmc and the rest.")
    def dialect() -> None:
        """Group only."""

    @dialect.command(
        "install",
        help="Link the command names into a directory.\n\nExample: holdfast dialect install --into /opt/holdfast/bin",
    )
    @click.option("--into", "directory", required=True, type=click.Path(path_type=Path), help="Made when missing.")
    @click.option(
        "--logs",
        type=click.Path(path_type=Path),
        metavar="LINK",
        help="Also make LINK point to the log_directory of the file that HOLDFAST_SYSTEM_CONFIG names.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    def install(directory: Path, logs: Path | None, as_json: bool) -> None:
        linked = [link_logs(logs)] if logs is not None else []
        links = [str(link) for link in [*install_links(directory), *linked]]
        emit({"links": links}, as_json, "\n".join(links))

    return dialect


def link_logs(link: Path) -> Path:
    """Make ``link`` point to the directory of this system's logs; a directory of that name is refused."""
    from holdfast.app.vcs import this_host

    directory = this_host().log_directory
    if not directory:
        raise InputError("no directory of logs is known", remedy="set log_directory in the system's TOML file")
    if link.exists() and not link.is_symlink():
        raise InputError(f"{link} exists and is no link", remedy="move it away, or choose another place")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(Path(directory).resolve())
    return link


def install_links(directory: Path) -> list[Path]:
    """Link every dialect command into ``directory``; an existing link is renewed, a file of that name refused."""
    program = Path(sys.executable).with_name("holdfast")
    directory.mkdir(parents=True, exist_ok=True)
    links = [directory / name for name in DIALECTS]
    foreign = [str(link) for link in links if link.exists() and not link.is_symlink()]
    if foreign:
        raise InputError(f"{', '.join(foreign)} exist and are not links", remedy="choose an empty directory")
    for link in links:
        link.unlink(missing_ok=True)
        link.symlink_to(program)
    return links
