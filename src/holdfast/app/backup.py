"""The backup domain's doors: native commands and the dialect's, bound to the client and to ``app.backupserver``.

What a command does not need is not imported for it: the catalog is the server's alone, the data path the client's, and
help needs neither.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from holdfast.backup.service.client.login import Login
    from holdfast.backup.service.client.options import ClientOptions
    from holdfast.backup.service.connection import Session
    from holdfast.backup.service.serverfile import ServerConfig
    from holdfast.backup.session import messages as m
    from holdfast.cli import backup as backup_cli
    from holdfast.cli import restore as restore_cli
    from holdfast.cli import server as server_cli


def backup_commands() -> click.Group:
    """Return ``holdfast backup``."""
    from holdfast.app.backupclient import named
    from holdfast.cli import backup as backup_cli

    return backup_cli.commands(backup_cli.Wire(_incremental, named, _set_password, _filespaces))


def restore_commands() -> click.Command:
    """Return ``holdfast restore``."""
    from holdfast.cli import restore as restore_cli

    return restore_cli.command(restore_cli.Wire(_restore))


def server_commands() -> click.Group:
    """Return ``holdfast server``."""
    from holdfast.cli import newserver
    from holdfast.cli import server as server_cli

    group = server_cli.commands(
        server_cli.Wire(
            lambda config: _server().init_server(_configured(config)),
            lambda config: _server().serve(_configured(config)),
            _run_text,
            _operate,
            lambda config, out, passphrase: _server().make_recovery_kit(_configured(config), out, passphrase),
            _recover,
            _rebuild_catalog,
        )
    )
    newserver.add_to(
        group,
        newserver.Wire(
            lambda directory, name, address: _setup().new_server(directory, name, address),
            lambda config, node, into, domain: _setup().add_client(config, node, into, domain),
        ),
    )
    return group


def _setup() -> ModuleType:
    return importlib.import_module("holdfast.app.backupsetup")


def _server() -> ModuleType:
    return importlib.import_module("holdfast.app.backupserver")


def _configured(path: Path) -> ServerConfig:
    from holdfast.backup.service.serverfile import load_config

    return load_config(path)


def client(optfile: Path, sysfile: Path | None, node: str) -> tuple[ClientOptions, Login]:
    """Return the options of an option file and the login that they describe."""
    from holdfast.backup.service.client.login import Login
    from holdfast.backup.service.client.options import load_options

    options = load_options(optfile, sysfile)
    return options, Login.of(options, str(optfile), node)


def admin_session(config: ServerConfig, name: str = "", password: bytes = b"") -> Session:
    """Open an administrator's session with the server of ``config``; by default as the administrator made at init."""
    from holdfast.backup.service.client.login import peer_of
    from holdfast.backup.service.connection import Session
    from holdfast.backup.service.serverfile import ADMIN, ADMIN_PASSWORD_FILE
    from holdfast.backup.session import messages as m
    from holdfast.runtime.identity import Identity
    from holdfast.runtime.rpc import RpcClient
    from holdfast.runtime.secretfile import read_secret

    password = password or read_secret(config.directory / ADMIN_PASSWORD_FILE)
    client = RpcClient(config.address, peer_of(config.name), Identity.load(config.identity))
    return Session(client, "admin", m.SignOn(name or ADMIN), password)


def dsmc_main(_name: str, arguments: list[str]) -> int:
    """Run ``dsmc``."""
    from holdfast.dialects.tsm import dsmc
    from holdfast.runtime.memory import for_bulk_data

    for_bulk_data()
    return dsmc.main(arguments, sys.stdout)


def dsmadmc_main(_name: str, arguments: list[str]) -> int:
    """Run ``dsmadmc``."""
    from holdfast.dialects.tsm import dsmadmc

    return dsmadmc.main(arguments, sys.stdout, sys.stdin)


def _incremental(
    optfile: Path,
    sysfile: Path | None,
    names: tuple[str, ...],
    roots: Mapping[str, str],
    node: str,
    say: backup_cli.Say | None,
    begun: backup_cli.Begun | None,
) -> tuple[dict[str, Any], int, list[str]]:
    from holdfast.backup.service.client.run import run_incremental
    from holdfast.runtime.memory import for_bulk_data

    for_bulk_data()
    options, login = client(optfile, sysfile, node)
    done = run_incremental(options, login, names, roots, say, begun)
    per_filespace = {name: _plain(asdict(figures)) for name, figures in done.filespaces.items()}
    figures = {**_plain(asdict(done.total)), "filespaces": per_filespace}
    return figures, done.total.exit_code, [*done.total.warnings, *done.total.failures]


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    return {**figures, "seconds": round(figures["seconds"], 3)}


def _set_password(optfile: Path, sysfile: Path | None, node: str, password_file: Path) -> Path:
    from holdfast.backup.service.client.login import save_password
    from holdfast.runtime.secretfile import read_secret

    _, login = client(optfile, sysfile, node)
    return save_password(login.password_file.parent, login.node, login.server, read_secret(password_file))


def _filespaces(optfile: Path, sysfile: Path | None, node: str) -> list[dict[str, str]]:
    from holdfast.backup.service.client.choose import list_filespaces
    from holdfast.backup.service.client.dates import stamp

    with client(optfile, sysfile, node)[1].open() as session:
        rows = list_filespaces(session)
    return [{"name": row.name, "type": row.type, "ended": stamp(row.ended_ns)} for row in rows]


def _restore(request: restore_cli.Request) -> tuple[dict[str, Any], int, list[str]]:
    from holdfast.backup.model.objects import key_of
    from holdfast.backup.service.client.restore import Restore, Selection, unfinished
    from holdfast.backup.service.client.run import point_in_time
    from holdfast.backup.service.client.telling import tell_fetched
    from holdfast.backup.session import messages as m
    from holdfast.runtime.memory import for_bulk_data

    for_bulk_data()
    under = key_of(request.under.encode("utf-8", "surrogateescape"))
    pit = point_in_time(request.pitdate, request.pittime)
    filespace = request.filespace.rstrip("/") or "/"
    with client(request.optfile, request.sysfile, request.node)[1].open() as session:
        if request.from_node:
            session.call(lambda seq: m.ActFor(seq, request.from_node))
        replace = unfinished if request.resume else request.replace
        restore = Restore(session, str(request.destination), replace=replace)
        done = restore.run(Selection(filespace, under, pit, latest=request.latest))
        tell_fetched(session, done)
    return asdict(done), done.exit_code, done.failures


def _answer(outcome: m.Message) -> server_cli.Answer:
    import msgspec

    from holdfast.backup.session import messages as m
    from holdfast.cli import server as server_cli

    assert isinstance(outcome, m.Outcome)
    figures = {name: msgspec.msgpack.decode(value) for name, value in outcome.figures.items()}
    parts = tuple(server_cli.Answer(p.code, p.messages, p.columns, p.rows, {}) for p in outcome.parts)
    return server_cli.Answer(outcome.code, outcome.messages, outcome.columns, outcome.rows, figures, parts)


def _run_text(config: Path, text: str, file: str) -> list[server_cli.Answer]:
    from holdfast.backup.session import messages as m
    from holdfast.dialects.tsm.language import read_macro

    requests = read_macro(text, file)
    answers = []
    with admin_session(_configured(config)) as session:
        for request in requests:
            answers.append(
                _answer(session.call(lambda seq, r=request: m.Run(seq, r.operation, r.args, r.text)))  # type: ignore[misc]
            )
    return answers


def _operate(config: Path, operation: str, args: dict[str, str]) -> server_cli.Answer:
    from holdfast.backup.session import messages as m

    text = f"{operation.upper()} {' '.join(f'{key.upper()}={value}' for key, value in args.items())}"
    with admin_session(_configured(config)) as session:
        return _answer(session.call(lambda seq: m.Run(seq, operation, args, text)))


def _recover(
    kit_file: Path, passphrase_file: Path, target: str, directory: Path, address: str, ready_file: Path | None
) -> dict[str, Any]:
    done = _server().recover_server(kit_file, passphrase_file, target, directory, address, ready_file)
    return {**asdict(done), "config_file": str(done.config_file)}


def _rebuild_catalog(config: Path, directories: tuple[Path, ...], replace: bool) -> dict[str, Any]:
    return asdict(_server().rebuild_catalog(_configured(config), directories, replace))
