"""Composition root of ``holdfast agent``: Holdfast's own agents for other cluster managers.

``agent ocf TYPE ACTION`` is what an installed stub runs, so its exit code is OCF's; ``agent install`` writes the stubs.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import sys
from importlib import resources
from pathlib import Path

import click

from holdfast.cli.frame import emit
from holdfast.cluster.agents import ocf_export
from holdfast.cluster.config.builder import build
from holdfast.cluster.model.configuration import ResourceType
from holdfast.kernel.errors import InputError

_INTO = "/usr/lib/ocf/resource.d/holdfast"


def _types() -> dict[str, ResourceType]:
    text = resources.files("holdfast.cluster.config").joinpath("types.cf").read_text("utf-8")
    return {name: kind for name, kind in build({"main.cf": text}).types.items() if name in ocf_export.OFFERED}


def _ocf(kind: str, action: str) -> None:
    types = _types()
    if kind not in types:
        raise InputError(f"type {kind!r} is not offered as an OCF agent", remedy=f"known are {', '.join(types)}")
    done = asyncio.run(ocf_export.act(types[kind], action, os.environ, socket.gethostname()))
    sys.stdout.write(done.output)
    sys.stderr.write(done.error_line)
    sys.stdout.flush()
    raise SystemExit(done.code)


def _install(into: str, as_json: bool) -> None:
    program = f"{shlex.quote(sys.executable)} -m holdfast"
    written = [str(path) for path in ocf_export.install(_types(), Path(into), program)]
    emit({"written": written}, as_json, "\n".join(written))


def agent_commands() -> click.Group:
    """Return the commands of ``holdfast agent``."""
    group = click.Group("agent", help="Holdfast's own agents, for other cluster managers.")
    group.add_command(
        click.Command(
            "ocf",
            callback=_ocf,
            params=[click.Argument(["kind"], metavar="TYPE"), click.Argument(["action"], metavar="ACTION")],
            help="Carry out an action of OCF 1.1 as an installed agent does: start, stop, monitor, validate-all or "
            "meta-data. Parameters come as OCF_RESKEY_NAME in the environment; the exit code is OCF's.\n\n"
            "Example: OCF_RESKEY_PathName=/run/flag holdfast agent ocf FileOnOff monitor",
        )
    )
    group.add_command(
        click.Command(
            "install",
            callback=_install,
            params=[
                click.Option(["--into"], default=_INTO, metavar="DIR", help="The provider's directory."),
                click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document."),
            ],
            help="Write the agents as OCF agents of provider holdfast.\n\n"
            "Example: holdfast agent install --into /usr/lib/ocf/resource.d/holdfast",
        )
    )
    return group
