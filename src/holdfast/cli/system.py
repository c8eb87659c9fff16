"""``holdfast system``: the systems, and ``system run``, which becomes the guard of this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from holdfast.cli.cluster import Wire, render

_RUN_HELP = """Run this system of the cluster: guard, daemon and whatever its groups run.

SIGTERM takes its groups offline first; a second one does not wait.

Example: holdfast system run --config /etc/holdfast/hosta.toml
"""


def commands(wire: Wire, run: Callable[[Path], None]) -> click.Group:
    """Return the commands of ``holdfast system``; ``run`` becomes the guard and does not return."""
    start = click.Command(
        "run",
        callback=lambda config: run(config),
        params=[
            click.Option(
                ["--config"], required=True, type=click.Path(path_type=Path), envvar="HOLDFAST_SYSTEM_CONFIG",
                help="The system's TOML file.",
            )
        ],
        help=_RUN_HELP,
    )  # fmt: skip
    return render("system", "Systems: the daemon, the list, the state.", wire, [start])
