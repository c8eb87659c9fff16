"""Commands of the cluster domain, rendered from its table of operations: ``cluster`` and ``fence``, and the renderer.

A command's parameters, help and examples come from the table; what it does is a handler that the composition root
binds by the operation's name. Nothing here knows the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from holdfast.cli.completion import Names, completer, no_names
from holdfast.cli.frame import emit
from holdfast.cluster.operations import of_noun
from holdfast.kernel.operation import Operation, Param


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler returns: ``value`` for programs, ``text`` for people."""

    value: Any
    text: str


@dataclass(frozen=True, slots=True)
class Wire:
    """Handlers by operation name; each takes the store's URL and the parameters by name. ``names`` completes."""

    handlers: Mapping[str, Callable[[str, Mapping[str, Any]], Answer]]
    names: Names = no_names


_STORE_HELP = "The cluster's store; default: the store that HOLDFAST_SYSTEM_CONFIG names."
_REASON = Param("reason", "Why; it is recorded with your name.", default="")
_STORELESS = ("cluster verify", "cluster token", "cluster join", "cluster leave")
"""These need no store, or know it from this machine's own files."""
_NAMED = {"group": "group", "resource": "resource", "system": "system", "to": "system"}
"""Parameter → kind of the names that complete it."""


def render(
    noun: str,
    summary: str,
    wire: Wire,
    extra: Sequence[click.Command] = (),
    operations: Sequence[Operation] = (),
) -> click.Group:
    """Return the click group of ``noun`` with one command per operation (of the table, if none), and ``extra``."""
    group = click.Group(noun, help=summary)
    for operation in operations or of_noun(noun):
        group.add_command(command(operation, wire))
    for one in extra:
        group.add_command(one)
    return group


def parsed(operation: Operation, words: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of an operation as ``words`` give them. Raises ``click.UsageError``."""
    found: dict[str, Any] = {}

    def take(_store: str, values: Mapping[str, Any]) -> Answer:
        found.update(values)
        return Answer(None, "")

    command(operation, Wire({operation.name: take})).main(
        list(words), prog_name=f"holdfast {operation.name}", standalone_mode=False
    )
    return found


def command(operation: Operation, wire: Wire) -> click.Command:
    """Return the click command of one operation."""

    def run(store: str, as_json: bool, **values: Any) -> None:
        found = {name.removesuffix("_"): value for name, value in values.items()}
        answer = wire.handlers[operation.name](store, found)
        emit(answer.value, as_json, answer.text)

    hidden = operation.name in _STORELESS or operation.noun == "type"
    params = [_param(param, wire.names) for param in operation.params]
    if operation.changes and not any(param.name == "reason" for param in operation.params):
        params.append(_param(_REASON, wire.names))
    params.append(
        click.Option(["--store"], envvar="HOLDFAST_STORE", default="", metavar="URL", help=_STORE_HELP, hidden=hidden)
    )
    params.append(click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document."))
    example = "\n\n".join(f"Example: {text}" for text in operation.examples)
    return click.Command(operation.verb, callback=run, params=params, help=f"{operation.summary}\n\n{example}")


def _param(param: Param, names: Names) -> click.Parameter:
    name = param.name + ("_" if param.name in ("for", "list") else "")
    kind_of_name = _NAMED.get(param.name)
    complete = completer(names, "store", kind_of_name) if kind_of_name else None
    if param.positional and param.name == "path":
        return click.Argument([name], required=param.required, type=click.Path())
    if param.positional and param.kind == "list":
        return click.Argument([name], required=param.required, nargs=-1)
    if param.positional:
        word: Any = int if param.kind == "int" else None
        return click.Argument([name], required=param.required, type=word, shell_complete=complete)
    flag = f"--{param.name.replace('_', '-')}"
    if param.kind == "bool":
        return click.Option([flag, name], is_flag=True, help=param.help)
    if param.kind == "list":
        return click.Option([flag, name], multiple=True, help=param.help)
    kind: Any = {"int": int, "float": float}.get(param.kind, str)
    return click.Option(
        [flag, name],
        type=kind,
        required=param.required,
        default=param.default,
        help=param.help,
        metavar="SECONDS" if "seconds" in param.help.lower() else (kind_of_name or "").upper() or None,
        shell_complete=complete,
        envvar="HOLDFAST_REASON" if param.name == "reason" else None,
    )


def commands(wire: Wire) -> click.Group:
    """Return the commands of ``holdfast cluster``."""
    return render("cluster", "The cluster's configuration and state.", wire)


def fence_commands(wire: Wire) -> click.Group:
    """Return the commands of ``holdfast fence``."""
    return render("fence", "Evidence that a system is dead.", wire)


def type_commands(wire: Wire) -> click.Group:
    """Return the commands of ``holdfast type``."""
    return render("type", "Resource types, and the OCF agents they can be made of.", wire)
