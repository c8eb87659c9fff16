"""From nothing to a first backup: a server with everything it needs in one directory, and clients of it.

``server new`` makes an authority, the server's identity and configuration, and initialises it. ``server add-client``
registers a node at the running server under a random password and writes what the client needs into a directory that
can be carried to its system: identity, password, ``dsm.sys`` and ``dsm.opt``. Nobody types or sees a password.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from holdfast.app.backup import admin_session
from holdfast.app.backupserver import init_server
from holdfast.backup.service.client.login import save_password
from holdfast.backup.service.serverfile import ServerConfig, load_config, write_config
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import InputError, Refusal, Refused
from holdfast.runtime.authority import create_authority, issue
from holdfast.runtime.identity import save_identity
from holdfast.runtime.textfile import host_port

CONFIG_FILE, AUTHORITY = "server.toml", "authority"


def new_server(directory: Path, name: str, address: str) -> dict[str, Any]:
    """Make a server in an empty or missing directory. Raises ``InputError`` when something is there already."""
    config_file = directory / CONFIG_FILE
    host_port(address, "address", config_file)
    if directory.exists() and any(directory.iterdir()):
        raise InputError("the directory is not empty", file=str(directory), remedy="name one that is not there yet")
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    directory = directory.resolve()
    create_authority(directory / AUTHORITY)
    identity = directory / "identity"
    save_identity(issue(directory / AUTHORITY, f"server:{name.upper()}"), identity)
    config = ServerConfig(name.upper(), directory / "data", address, identity, None, ())
    write_config(config, config_file)
    init_server(load_config(config_file))
    return {"name": config.name, "config": str(directory / CONFIG_FILE), "address": address}


def add_client(config_file: Path, node: str, into: Path, domain: str) -> dict[str, Any]:
    """Register a node and write its client's files. Raises ``Refused`` when the node exists, and then writes none."""
    config = load_config(config_file)
    authority = config_file.resolve().parent / AUTHORITY
    if not (authority / "ca.key").is_file():
        raise InputError(
            "this server's authority is not beside its configuration",
            file=str(authority),
            remedy="holdfast authority issue, REGISTER NODE and backup set-password do the same by hand",
        )
    if into.exists() and any(into.iterdir()):
        raise InputError("the directory is not empty", file=str(into), remedy="name one that is not there yet")
    name, password = node.upper(), os.urandom(24).hex()
    with admin_session(config) as session:
        args = {"name": name, "password": password, "domain": domain.upper()}
        text = f"REGISTER NODE {name} ?***? DOMAIN={domain.upper()}"
        reply = session.call(lambda seq: m.Run(seq, "register node", args, text))
    assert isinstance(reply, m.Outcome)
    if reply.code:
        raise Refused(Refusal("refused", "; ".join(reply.messages), "see QUERY NODE"))
    into.mkdir(parents=True, exist_ok=True)
    into.chmod(0o700)
    into = into.resolve()
    save_identity(issue(authority, f"client:{name.lower()}"), into / "identity")
    save_password(into / "passwords", name, config.name, password.encode())
    host, _, port = config.address.rpartition(":")
    (into / "dsm.opt").write_text(f"SErvername {config.name}\n")
    (into / "dsm.sys").write_text(
        f"SErvername {config.name}\n TCPServeraddress {host}\n TCPPort {port}\n NODename {name}\n"
        f" TLSIDENTITY {into / 'identity'}\n PASSWORDAccess generate\n PASSWORDDIR {into / 'passwords'}\n"
    )
    return {"node": name, "optfile": str(into / "dsm.opt")}
