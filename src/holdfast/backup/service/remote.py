"""The source's side of server-to-server: opening a session with the target, verification code and all.

The code is made before the first session and kept beside the password, outside the catalog. A session that comes up
read-only is still good for reading: recovery lives on that.
"""

from __future__ import annotations

import os

import msgspec
from sqlalchemy import select, update

from holdfast.backup.service.catalog.schema import servers
from holdfast.backup.service.client.login import peer_of
from holdfast.backup.service.connection import Session
from holdfast.backup.service.core import Core
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import Refusal, Refused
from holdfast.runtime.identity import Identity
from holdfast.runtime.rpc import RpcClient


def connect_vault(core: Core, server: str, identity: Identity) -> Session:
    """Open a session with the defined server ``server``."""
    with core.database.read() as connection:
        row = connection.execute(select(servers).where(servers.c.name == server)).first()
    if row is None:
        raise Refused(Refusal("not-found", f"server {server} is not defined", "DEFINE SERVER"))
    if server == core.name:
        raise Refused(Refusal("same-server", f"{server} cannot keep its own virtual volumes", "name another server"))
    secret = core.keys.server(server)
    if not secret.verification:
        secret = msgspec.structs.replace(secret, verification=os.urandom(24))
        core.keys.set_server(server, secret)
    client = RpcClient(f"{row.hladdress}:{row.lladdress}", peer_of(server), identity)
    request = m.SignOn(row.nodename, "Holdfast server", secret.verification, secret.reset)
    session = Session(client, "vault", request, secret.password)
    if session.welcome.server == core.name:
        session.close()
        raise Refused(Refusal("same-server", "source and target are the same server", "name another server"))
    if session.welcome.mode == "read-write" and secret.reset:
        core.keys.set_server(server, msgspec.structs.replace(secret, reset=False))
    with core.database.write() as connection:
        connection.execute(update(servers).where(servers.c.name == server).values(access_ns=core.now_ns()))
    return session
