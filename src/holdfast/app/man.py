"""``holdfast man``: writes the manual pages of this very program into a directory, dialect commands included.

Pages are generated, never kept, so that they always fit the program that is installed. The dialects' forms come from
the tables that their parsers go by; only here may dialects and native commands be looked at together.
"""

from __future__ import annotations

from pathlib import Path

import click

from holdfast import __version__
from holdfast.cli.frame import emit
from holdfast.cli.man import DialectPage, pages

_HELP = """Write the manual pages of holdfast, of each noun and of each dialect command.

Example: holdfast man --into /usr/local/share/man/man1
"""
_TSM_CODES = ((0, "all well"), (4, "some objects were skipped"), (8, "warnings"), (12, "errors"))


def man_command() -> click.Command:
    """Return the command ``holdfast man``."""

    @click.command("man", help=_HELP)
    @click.option("--into", "directory", required=True, type=click.Path(path_type=Path), help="Made when missing.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    def man(directory: Path, as_json: bool) -> None:
        written = [str(path) for path in write_pages(directory)]
        emit({"pages": written}, as_json, "\n".join(written))

    return man


def write_pages(directory: Path) -> list[Path]:
    """Write every page into ``directory`` and return the files; those of the same names are replaced."""
    from holdfast.app.main import native_root

    directory.mkdir(parents=True, exist_ok=True)
    made = pages(native_root(), "holdfast", __version__, dialect_pages())
    for name, text in made.items():
        (directory / name).write_text(text, "utf-8")
    return [directory / name for name in made]


def dialect_pages() -> list[DialectPage]:
    """Return what the dialects' tables say of their commands."""
    return [*_vcs(), _dscli(), _dsmc(), _dsmcad(), _dsmadmc(), *_opensvc()]


def _vcs() -> list[DialectPage]:
    from holdfast.dialects.vcs.commands import FORMS

    about = (
        "A command of Veritas Cluster Server, understood by Holdfast. It acts on the cluster whose store "
        "HOLDFAST_STORE or the file of HOLDFAST_SYSTEM_CONFIG names. Without a known form it lists those it has."
    )
    codes = ((0, "done"), (1, "refused, failed or wrong usage; the message says which"))
    return [
        DialectPage(
            name, "VCS command on a Holdfast cluster", about, [f"{name} -{form}" for form in forms], codes,
            ("holdfast", "holdfast-group", "holdfast-resource", "holdfast-system"),
        )
        for name, forms in FORMS.items()
    ]  # fmt: skip


def _dscli() -> DialectPage:
    from holdfast.dialects.dscli.grammar import FLAGS, GLOBAL_VALUES, VALUES

    forms = [
        " ".join(
            (
                command,
                *(f"[-{option}]" for option in sorted(flags)),
                *(f"[-{option} VALUE]" for option in sorted(VALUES.get(command, ()))),
            )
        )
        for command, flags in FLAGS.items()
    ]
    about = (
        "The DS8000 command line, understood by Holdfast's software array. One command may follow the options, -script "
        f"names a file of commands, otherwise commands are read. Options before the command: "
        f"{', '.join(f'-{name}' for name in sorted(GLOBAL_VALUES))}."
    )
    codes = ((0, "done"), (2, "wrong syntax"), (3, "no connection"), (4, "the array refused it"), (5, "wrong log-in"))
    see = ("holdfast", "holdfast-pair", "holdfast-flash", "holdfast-volume")
    return DialectPage("dscli", "DS8000 command line for a Holdfast array", about, forms, codes, see)


def _dsmc() -> DialectPage:
    from holdfast.dialects.tsm.dsmcwords import QUERIES

    forms = ["dsmc incremental [FILESPACE | FILESPEC ...]", "dsmc selective FILESPEC ...", "dsmc archive FILESPEC ..."]
    forms += [f"dsmc {verb} FILESPEC [DESTINATION]" for verb in ("restore", "retrieve")]
    forms += ["dsmc preview backup|archive FILESPEC", "dsmc expire FILESPEC ...", "dsmc macro FILE", "dsmc schedule"]
    forms += ["dsmc delete backup|archive FILESPEC", "dsmc delete filespace NAME", "dsmc delete access NUMBER ..."]
    forms += ["dsmc set access backup|archive FILESPEC NODE", *(f"dsmc query {name}" for name, _ in QUERIES)]
    about = (
        "The backup-archive client. Options are written -name=value, may be shortened and stand anywhere; -optfile or "
        "DSM_CONFIG names the option file."
    )
    see = ("holdfast", "holdfast-backup", "holdfast-restore")
    return DialectPage("dsmc", "backup-archive client of a Holdfast server", about, forms, _TSM_CODES, see)


def _dsmcad() -> DialectPage:
    about = (
        "The client acceptor: waits for the node's schedules, or for prompts, and carries them out. It leaves a daemon "
        "behind that shows the name by which it was started; with -foreground it stays."
    )
    codes = ((0, "the daemon runs"), (12, "options under which it cannot; the message says which"))
    return DialectPage(
        "dsmcad", "scheduler of a backup client", about, ["dsmcad [-optfile=FILE] [-foreground]"], codes, ("dsmc",)
    )


def _dsmadmc() -> DialectPage:
    from holdfast.dialects.tsm.grammar import COMMANDS

    forms = [
        " ".join(
            (
                *(f"{word.full[: word.shortest].upper()}{word.full[word.shortest :]}" for word in command.words),
                *(name.upper() for name in command.positionals[: command.required]),
                *(f"[{name.upper()}]" for name in command.positionals[command.required :]),
                *(
                    f"[{word.full[: word.shortest].upper()}{word.full[word.shortest :]}=...]"
                    for word in command.keywords
                ),
            )
        )
        for command in COMMANDS
    ]
    about = (
        "The administrative client. A command follows the options, MACRO FILE runs a file of commands, otherwise they "
        "are read from standard input. The capitals of a word are its shortest form."
    )
    codes = ((0, "all well"), (10, "it is there already"), (11, "nothing was found"))
    return DialectPage(
        "dsmadmc", "administrative client of a Holdfast server", about, forms, codes, ("holdfast", "holdfast-server")
    )


def _opensvc() -> list[DialectPage]:
    from holdfast.dialects.opensvc.commandline import ACTIONS

    about = (
        "OpenSVC's service manager, understood by Holdfast: service files with flash copies of a DS8000 or software "
        "array, and with what moves as a service group. Options are listed by svcmgr --help."
    )
    codes = ((0, "done; status: up"), (1, "failed for one service; status: down"), (2, "for two; status: warn"))
    node = "Runs what the schedules of this system's service files ask for; cron calls it every minute."
    return [
        DialectPage(
            "svcmgr", "OpenSVC service manager on Holdfast", about,
            [f"svcmgr -s SERVICE {action}" for action in ACTIONS], codes, ("holdfast", "holdfast-flash", "nodemgr"),
        ),
        DialectPage(
            "nodemgr", "OpenSVC scheduler on Holdfast", node, ["nodemgr schedulers"],
            ((0, "done"), (1, "failed for one service")), ("holdfast", "svcmgr"),
        ),
    ]  # fmt: skip
