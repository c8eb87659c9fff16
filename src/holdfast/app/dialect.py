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

    _service(dialect)
    return dialect


def _service(group: click.Group) -> None:
    @group.command(
        "service",
        help="Write the service file of a dsmcad: a script for init, or a unit for systemd.\n\n"
        "Example: holdfast dialect service dsmcad.vcs --program /opt/tivoli/tsm/client/ba/bin/dsmcad.vcs "
        "--optfile /VCS/tsm/dsm_vcs.opt --into /etc/init.d",
    )
    @click.argument("name")
    @click.option("--program", required=True, help="The link to dsmcad; a group's own has a name of its own.")
    @click.option("--optfile", required=True, help="The option file, dsm.opt.")
    @click.option(
        "--into",
        "directory",
        required=True,
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        help="/etc/init.d, or /etc/systemd/system.",
    )
    @click.option("--systemd", is_flag=True, help="A unit for systemd.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    def service(name: str, program: str, optfile: str, directory: Path, systemd: bool, as_json: bool) -> None:
        path = write_service(name, program, optfile, directory, systemd)
        emit({"file": str(path)}, as_json, str(path))


def write_service(name: str, program: str, optfile: str, directory: Path, systemd: bool) -> Path:
    """Write the service file of a dsmcad and return it; a file of that name that is not ours is refused."""
    from holdfast.dialects.tsm.servicefiles import MARK, init_script, systemd_unit

    if "/" in name or not program.startswith("/") or not optfile.startswith("/"):
        raise InputError("a service has a plain name, and full paths", remedy="holdfast dialect service --help")
    path = directory / (f"{name}.service" if systemd else name)
    if path.is_symlink() or (path.exists() and MARK not in path.read_text(errors="replace")):
        raise InputError(f"{path} exists and was not made by this command", remedy="move it away, or choose a name")
    text = systemd_unit(name, program, optfile) if systemd else init_script(name, program, optfile)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.chmod(0o644 if systemd else 0o755)
    fresh.replace(path)
    return path


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
