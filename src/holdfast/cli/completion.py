"""Shell completion: ``holdfast completion SHELL`` prints the script, and names of groups or volumes are asked for.

The scripts are click's own: the shell calls ``holdfast`` with the words typed so far at each press of the key. Names
that only the store or an array knows are asked in a forked child with nowhere to print, which is killed at a deadline:
whatever is wrong there (nothing configured, nobody answers, a bug), the person who types sees no error and waits no
longer than :data:`LIMIT_S`, only no names come.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Sequence

import click
from click.shell_completion import get_completion_class

LIMIT_S = 0.2
_CHUNK = 65536

Names = Callable[[str, str], Sequence[str]]
"""``names(store or array address, kind)`` returns what there is, quietly; nothing when it cannot be asked."""

Complete = Callable[[click.Context, click.Parameter, str], list[str]]

SHELLS = {
    "bash": "holdfast completion bash > /etc/bash_completion.d/holdfast",
    "zsh": 'holdfast completion zsh > "${fpath[1]}/_holdfast"',
    "fish": "holdfast completion fish > ~/.config/fish/completions/holdfast.fish",
}
"""Shell → the command that installs its script."""


def no_names(_at: str, _kind: str) -> Sequence[str]:
    """Know no names."""
    return ()


def ask_quietly(ask: Callable[[], Iterable[str]], limit_s: float = LIMIT_S) -> list[str]:
    """Return what ``ask`` returns, asked in a child process; nothing if it fails or takes longer than ``limit_s``."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(ask, writer)
    os.close(writer)
    try:
        text = _read_until(reader, time.monotonic() + limit_s)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return text.decode().split("\n") if text else []


def _answer(ask: Callable[[], Iterable[str]], writer: int) -> None:
    """In the child: answer and end; whatever is raised on the way ends it too, with nothing answered."""
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        text = "\n".join(sorted(ask())).encode()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(text)
    finally:
        os._exit(0)


def _read_until(reader: int, deadline: float) -> bytes:
    """Return all that comes until the end of file; nothing if the deadline comes first."""
    text = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([reader], [], [], left)[0]:
            break
        chunk = os.read(reader, _CHUNK)
        if not chunk:
            return text
        text += chunk
    return b""


def completer(names: Names, at: str, kind: str) -> Complete:
    """Return a completer of names of ``kind``; ``at`` is the parameter that says where to ask."""

    def complete(context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        found = names(str(context.params.get(at) or ""), kind)
        return [name for name in found if name.lower().startswith(incomplete.lower())]

    return complete


def pair_completer(names: Names, at: str, kind: str) -> Complete:
    """Return a completer of ``SOURCE:TARGET``. Bash splits words at the colon, so then only the target is completed."""

    def complete(context: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        found = names(str(context.params.get(at) or ""), kind)
        typed = [*(context.params.get(str(param.name)) or ()), *([":"] if incomplete == ":" else [])]
        if len(typed) > 1 and typed[-1] == ":":
            wanted = incomplete.removeprefix(":").lower()
            targets = [pair.partition(":")[2] for pair in found if pair.lower().startswith(f"{typed[-2].lower()}:")]
            return [target for target in targets if target.lower().startswith(wanted)]
        return [pair for pair in found if pair.lower().startswith(incomplete.lower())]

    return complete


def commands() -> click.Group:
    """Return the commands of ``holdfast completion``."""
    group = click.Group("completion", help="Scripts that let a shell complete holdfast's commands and names.")
    for shell, install in SHELLS.items():
        group.add_command(_script(shell, install))
    return group


def _script(shell: str, install: str) -> click.Command:
    def show() -> None:
        found = get_completion_class(shell)
        assert found is not None
        root = click.get_current_context().find_root().command
        click.echo(found(root, {}, "holdfast", "_HOLDFAST_COMPLETE").source())

    text = f"Print the completion script for {shell}.\n\nExample: {install}"
    if shell != "fish":
        text += f"\n\nExample: source <(holdfast completion {shell})"
    return click.Command(shell, callback=show, help=text)
