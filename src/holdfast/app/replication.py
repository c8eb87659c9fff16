"""Wires replication: the array process, its native commands and the dscli dialect.

The only module that puts the store behind the witness port, the array client behind the commands, and dscli before it.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.app.security import identity_directory
from holdfast.kernel.errors import InputError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

    from holdfast.replication.drivers.softarray import SoftArray


def array_commands() -> click.Group:
    """Return the commands of ``holdfast array``."""
    from holdfast.cli import array
    from holdfast.cli.storage import add_storage_commands

    def add_user(path: Path, name: str, password: str, group: str) -> None:
        from holdfast.replication.service import users

        users.add_user(path, name, password, group)

    def repair(config_path: Path, trust_access: bool, dry_run: bool) -> list[str]:
        from holdfast.replication.service.config import load_config
        from holdfast.replication.service.repair import repair_array

        config = load_config(config_path)
        return repair_array(config.directory, config.storage_image, trust_access=trust_access, dry_run=dry_run)

    group = array.commands(array.Wire(serve=serve, connect=connect_or_say, add_user=add_user, repair=repair))
    add_storage_commands(group, connect_or_say)
    return group


def volume_commands() -> click.Group:
    """Return the commands of ``holdfast volume``."""
    from holdfast.cli import volume
    from holdfast.replication.service import attach

    return volume.commands(volume.Wire(connect_or_say, attach.attach_detached, attach.detach, ids))


def pair_commands() -> click.Group:
    """Return the commands of ``holdfast pair``."""
    from holdfast.cli import pair

    return pair.commands(connect_or_say, ids)


def flash_commands() -> click.Group:
    """Return the commands of ``holdfast flash``."""
    from holdfast.cli import flash

    return flash.commands(connect_or_say, ids)


def serve(config_path: Path, ready_file: Path | None) -> None:
    """Run one array until it is told to stop."""

    from holdfast.app.store import check_store, open_store
    from holdfast.replication.ports import Witness
    from holdfast.replication.service.config import load_config
    from holdfast.replication.service.daemon import Daemon
    from holdfast.replication.service.witness import NoWitness, StoreWitness
    from holdfast.runtime.identity import Identity
    from holdfast.runtime.log import log_to

    config = load_config(config_path)
    Identity.load(config.identity)
    try:
        check_store(config.store or "memory:")
    except InputError as error:
        raise error.inside(str(config_path), "store") from error
    log_to(sys.stderr)

    def ready() -> None:
        print("ready", flush=True)
        if ready_file is not None:
            ready_file.write_text(f"{os.getpid()}\n")

    async def run() -> None:
        os.environ.setdefault("HOLDFAST_IDENTITY", str(config.identity))
        witness: Witness = StoreWitness(open_store(config.store)) if config.store else NoWitness()
        await Daemon(config, witness).run(ready)

    asyncio.run(run())


def connect(address: str, user: str = "", password: str = "") -> SoftArray:
    """Return a client of the array at ``address``."""
    from holdfast.replication.drivers.softarray import SoftArray

    identity = identity_directory(os.environ.get("HOLDFAST_IDENTITY", ""))
    return SoftArray(address, identity, user=user, password=password)


def connect_or_say(address: str) -> SoftArray:
    """Return a client of the array at ``address``; an array that cannot be reached is told with what to set."""
    try:
        return connect(address)
    except Unavailable as error:
        remedy = "name a running array with --array or HOLDFAST_ARRAY; HOLDFAST_IDENTITY must be of its authority"
        raise Unavailable(error.message, remedy) from error


def ids(address: str, kind: str) -> Sequence[str]:
    """Return the ids of an array's ``volumes``, ``pairs`` or ``flashes`` for completion; nothing if it cannot."""
    from holdfast.cli.completion import ask_quietly

    if not address:
        return ()
    import holdfast.replication.drivers.softarray  # noqa: F401  # loaded before the clock of the question starts

    return ask_quietly(lambda: [row["id"] for row in connect(address).run(kind).rows])


def dscli_main(name: str, arguments: list[str]) -> int:
    """Run ``dscli`` and return its exit code."""
    from holdfast.dialects.dscli.session import run

    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # what is no text is no command, and no reason to fall over
    return run(arguments, connect, sys.stdin, sys.stdout, sys.stderr)
