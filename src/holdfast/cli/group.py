"""``holdfast group``: service groups, rendered from the cluster's table of operations."""

from __future__ import annotations

import click

from holdfast.cli.cluster import Wire, render


def commands(wire: Wire) -> click.Group:
    """Return the commands of ``holdfast group``."""
    return render("group", "Service groups: state, online, offline, switch, freeze, maintenance, takeover.", wire)
