"""The command tree as people and programs see it: one finish for every noun, and a walk over all commands.

Each noun declares its commands in its own module. What must look the same everywhere is done here, once, when a noun is
built: examples stand unwrapped below the options, every option with a default or a variable shows it. Manual pages and
the test that audits the tree walk the same commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import click

_EXAMPLE = re.compile(r"^Example: *(.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^\x08?\n?Examples?:\n((?:  .*(?:\n|$))+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Node:
    """A command and the words that call it, ``("holdfast", "group", "switch")``."""

    words: tuple[str, ...]
    command: click.Command
    context: click.Context

    @property
    def is_group(self) -> bool:
        """Whether it only holds other commands."""
        return isinstance(self.command, click.Group)


def examples_in(text: str) -> tuple[str, list[str]]:
    """Separate help from its examples, written as ``Example: COMMAND`` or as an indented block under ``Examples:``."""
    found: list[str] = []
    for block in _BLOCK.finditer(text):
        found += [line.strip() for line in block[1].splitlines() if line.strip()]
    text = _BLOCK.sub("", text)
    found += [match[1].strip() for match in _EXAMPLE.finditer(text)]
    return re.sub(r"\n{3,}", "\n\n", _EXAMPLE.sub("", text)).strip(), found


def examples_of(command: click.Command) -> list[str]:
    """Return the examples of a finished command."""
    return examples_in(command.epilog or "")[1]


def finish(command: click.Command) -> click.Command:
    """Give a command, and those below it, the look of all others. Safe to do twice."""
    text, examples = examples_in(command.help or "")
    if examples:
        command.help = text
        command.epilog = "\n".join(("\b", "Examples:", *(f"  {line}" for line in examples)))
    for param in command.params:
        if isinstance(param, click.Option):
            _finish_option(param)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            finish(below)
    return command


def _finish_option(option: click.Option) -> None:
    option.show_envvar = bool(option.envvar)
    default = option.default
    telling = isinstance(default, str | int | float) and default is not False and default != ""
    if telling and option.show_default is None:
        option.show_default = True


def children(command: click.Command, context: click.Context) -> Mapping[str, click.Command]:
    """Return the commands below a group by name; hidden ones are left out."""
    if not isinstance(command, click.Group):
        return {}
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: one for name, one in found.items() if one is not None and not one.hidden}


def walk(command: click.Command, context: click.Context, words: tuple[str, ...]) -> Iterator[Node]:
    """Yield a command and everything below it, parents first."""
    yield Node(words, command, context)
    for name, below in children(command, context).items():
        inner = click.Context(below, info_name=name, parent=context)
        yield from walk(below, inner, (*words, name))
