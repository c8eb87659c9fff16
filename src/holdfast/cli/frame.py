"""The frame of every native command: the root group, lazy nouns, how results are printed and how failures end.

A noun's module is imported only when it is asked for, which keeps ``holdfast --help`` and every dialect command quick.
Standard output belongs to the result: text for people, or with ``--json`` one document and nothing else, also when the
command fails. What went wrong is told to people on standard error in either case. Exit codes: ``conventions.py``.
"""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from holdfast.cli.conventions import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, Failure
from holdfast.cli.tree import finish
from holdfast.kernel.errors import HoldfastError

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
"""The settings of the root context, which all others inherit."""


class LazyGroup(click.Group):
    """A group whose commands are named by ``"module:builder"`` and built when first used.

    ``also`` are words that may be typed in a noun's place and are only suggested: the dialects' commands.
    """

    def __init__(
        self, *args: Any, nouns: Mapping[str, tuple[str, str]], also: Iterable[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._nouns, self._also = nouns, tuple(also)

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
        return finish(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the noun; name the nearest one when there is none of that name."""
        name = args[0]
        if name not in self._nouns and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, [*self._nouns, *self._also], n=3)
            hint = f" Did you mean {' or '.join(repr(one) for one in near)}?" if near else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a noun from the declared summaries, without importing their modules."""
        found = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in self._nouns.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the nouns from their declared summaries, without importing their modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self._nouns.items()])


def emit(value: Any, as_json: bool, text: str) -> None:
    """Print ``value`` as one JSON document, or ``text`` for people."""
    if as_json:
        import msgspec

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
        return _run(command, argv, prog_name, asks_for_json(argv))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered must not fail once more at the end
        return EXIT_FAILED


def _run(command: click.Command, argv: Sequence[str], prog_name: str, as_json: bool) -> int:
    try:
        result = command.main(args=list(argv), prog_name=prog_name, standalone_mode=False)
    except click.exceptions.Abort:
        click.echo(f"{prog_name}: interrupted", err=True)
        return _told(Failure("interrupted", "interrupted", "", EXIT_INTERRUPTED), as_json)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return _told(Failure("usage", error.format_message(), _usage_remedy(error), EXIT_USAGE), as_json)
    except HoldfastError as error:
        click.echo(f"{prog_name}: {error}", err=True)
        return _told(Failure.of(error), as_json)
    except OSError as error:
        if error.filename is None:
            raise
        text, remedy = f"{error.filename}: {error.strerror}", "check the path and your rights to it"
        click.echo(f"{prog_name}: {text}\n  remedy: {remedy}", err=True)
        return _told(Failure("file", text, remedy, EXIT_FAILED), as_json)
    return result if isinstance(result, int) else 0


def asks_for_json(argv: Sequence[str]) -> bool:
    """Return whether ``--json`` stands among the options; also true of a line that click cannot read."""
    options = argv[: argv.index("--")] if "--" in argv else argv
    return "--json" in options


def _told(failure: Failure, as_json: bool) -> int:
    if as_json:
        emit(failure.document(), True, "")
    return failure.exit_code


def _usage_remedy(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"see {context.command_path} --help" if context is not None else ""
