"""``holdfast config``: what a main.cf would change, the change itself, and the way back."""

from __future__ import annotations

import click

from holdfast.cli.cluster import Wire, render
from holdfast.kernel.operation import Operation, Param

_PATH = Param("path", "main.cf or its directory.", required=True, positional=True)
_FORCE = Param("force", "Although a group or resource that is online goes.", "bool")
_REASON = Param("reason", "Why; it is recorded with your name.", default="")

OPERATIONS = (
    Operation(
        "config diff", "Show what a main.cf would change against what is loaded; nothing is changed.", (_PATH,),
        ("holdfast config diff main.cf",), changes=False,
    ),
    Operation(
        "config apply", "Check a main.cf and commit it whole, or nothing of it.",
        (
            _PATH, Param("revision", "Only if this revision, which config diff told, is still loaded.", default=""),
            _FORCE, _REASON,
        ),
        ("holdfast config apply main.cf --revision 41 --reason 'one more file system'",),
    ),
    Operation(
        "config history", "Show who loaded which configuration when and why.", (), ("holdfast config history",),
        changes=False,
    ),
    Operation(
        "config rollback", "Commit the configuration of an earlier revision again.",
        (Param("revision", "Its revision.", kind="int", required=True, positional=True), _FORCE, _REASON),
        ("holdfast config rollback 41 --reason 'the new file system is not there yet'",),
    ),
)  # fmt: skip


def commands(wire: Wire) -> click.Group:
    """Return the commands of ``holdfast config``."""
    return render("config", "The configuration: what would change, the change, and the way back.", wire, (), OPERATIONS)
