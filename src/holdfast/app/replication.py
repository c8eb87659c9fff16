"""Wires replication: the array process, its native commands and the dscli dialect.

The only module that puts the store behind the witness port, the array client behind the commands, and dscli before it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.kernel.errors import InputError

if TYPE_CHECKING:
    import click

    from holdfast.replication.drivers.softarray import SoftArray


def array_commands() -> click.Group:
    """Return the commands of ``holdfast array``."""
    from holdfast.cli import array
    from holdfast.replication.service.users import add_user

    return array.commands(array.Wire(serve=serve, connect=connect, add_user=add_user))


def volume_commands() -> click.Group:
    """Return the commands of ``holdfast volume``."""
    from holdfast.cli import volume
    from holdfast.replication.service import attach

    return volume.commands(volume.Wire(connect, attach.attach_detached, attach.detach))


def pair_commands() -> click.Group:
    """Return the commands of ``holdfast pair``."""
    from holdfast.cli import pair

    return pair.commands(connect)


def flash_commands() -> click.Group:
    """Return the commands of ``holdfast flash``."""
    from holdfast.cli import flash

    return flash.commands(connect)


def serve(config_path: Path, ready_file: Path | None) -> None:
    """Run one array until it is told to stop."""
    import structlog

    from holdfast.app.store import open_store
    from holdfast.replication.ports import Witness
    from holdfast.replication.service.config import load_config
    from holdfast.replication.service.daemon import Daemon
    from holdfast.replication.service.witness import NoWitness, StoreWitness

    config = load_config(config_path)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

    def ready() -> None:
        print("ready", flush=True)
        if ready_file is not None:
            ready_file.write_text(f"{os.getpid()}\n")

    async def run() -> None:
        os.environ.setdefault("HOLDFAST_IDENTITY", str(config.identity))
        witness: Witness = StoreWitness(open_store(config.store)) if config.store else NoWitness()
        await Daemon(config, witness).run(ready)

    asyncio.run(run())


def identity_directory() -> Path:
    """Return the identity directory of whoever runs the command. Raises :class:`InputError` when none is named."""
    named = os.environ.get("HOLDFAST_IDENTITY", "")
    if not named:
        raise InputError("no identity is named", remedy="set HOLDFAST_IDENTITY to an identity directory")
    return Path(named)


def connect(address: str, user: str = "", password: str = "") -> SoftArray:
    """Return a client of the array at ``address``."""
    from holdfast.replication.drivers.softarray import SoftArray

    return SoftArray(address, identity_directory(), user=user, password=password)


def dscli_main(name: str, arguments: list[str]) -> int:
    """Run ``dscli`` and return its exit code."""
    from holdfast.dialects.dscli.session import run

    return run(arguments, connect, sys.stdin, sys.stdout, sys.stderr)
