"""The frame of every native command: the root group, lazy nouns, how results are printed and how failures end.

A noun's module is imported only when it is asked for, which keeps ``holdfast --help`` and every dialect command quick.
Exit codes are the same everywhere: 0 done, 1 failed, 2 wrong usage, 3 refused.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from holdfast.kernel.errors import HoldfastError, Refused

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3


class LazyGroup(click.Group):
    """A group whose commands are named by ``"module:builder"`` and built when first used."""

    def __init__(self, *args: Any, nouns: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._nouns = nouns

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the nouns in the order in which they are declared."""
        return list(self._nouns)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Build the command of a noun."""
        if cmd_name not in self._nouns:
            return None
        module, _, builder = self._nouns[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), builder)()
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the nouns from their declared summaries, without importing their modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self._nouns.items()])


def emit(value: Any, as_json: bool, text: str) -> None:
    """Print ``value`` as one JSON document, or ``text`` for people."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
    elif text:
        click.echo(text)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as aligned columns under their headings."""
    cells = [list(headings), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def run_guarded(command: click.Command, argv: Sequence[str], prog_name: str) -> int:
    """Run a click command; return its exit code and print failures with their remedy on standard error."""
    try:
        result = command.main(args=list(argv), prog_name=prog_name, standalone_mode=False)
    except click.exceptions.Abort:
        click.echo(f"{prog_name}: interrupted", err=True)
        return 130
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except HoldfastError as error:
        return report(error, prog_name)
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILED
    return result if isinstance(result, int) else 0


def report(error: HoldfastError, prog_name: str) -> int:
    """Print a failure or refusal on standard error, return its exit code."""
    click.echo(f"{prog_name}: {error}", err=True)
    return EXIT_REFUSED if isinstance(error, Refused) else EXIT_FAILED
