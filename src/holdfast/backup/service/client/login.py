"""From options to an open session: address, TLS identity, node name, password file.

A password that has expired is replaced by a random one on the spot (PASSWORDACCESS GENERATE); a rotation that was cut
short leaves both behind, and the next session finds out which one the server has.

The password lies in a file of mode 600 named after node and server in PASSWORDDIR, so nodes and servers never mix.
"""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from pathlib import Path

from holdfast.backup.service.client.options import ClientOptions
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m
from holdfast.backup.session.proof import SALT_BYTES, stored_key
from holdfast.kernel.errors import InputError, Refused
from holdfast.runtime.identity import Identity
from holdfast.runtime.rpc import RpcClient
from holdfast.runtime.secretfile import read_secret, write_secret

DEFAULT_PORT = "1500"


@dataclass(frozen=True, slots=True)
class Login:
    """Where to sign on, and as whom."""

    address: str
    server: str
    identity: Path
    node: str
    password_file: Path

    @classmethod
    def of(cls, options: ClientOptions, file: str, node: str = "") -> Login:
        """Return the login that the options describe. Raises ``InputError`` for what is missing."""
        server = options.get("TLSSERVERNAME") or options.get("SERVERNAME")
        name = (node or options.get("NODENAME") or socket.gethostname()).upper()
        directory = Path(options.need("PASSWORDDIR", file))
        address = f"{options.need('TCPSERVERADDRESS', file)}:{options.get('TCPPORT', DEFAULT_PORT)}"
        identity = Path(options.need("TLSIDENTITY", file))
        return cls(address, server, identity, name, password_path(directory, name, server))

    def open(self) -> Session:
        """Open a client session. Raises ``Refused`` for a wrong password, ``Unavailable`` when nobody answers."""
        if not self.password_file.exists():
            raise InputError(
                f"no password for node {self.node} at {self.server}",
                file=str(self.password_file),
                remedy="holdfast backup set-password --optfile FILE --password-file FILE",
            )
        session = self.sign_on()
        if session.welcome.password_expired:
            self._rotate(session)
            session.close()
            session = self.sign_on()
        return session

    def sign_on(self) -> Session:
        """Open a session with the password kept; with the one that a rotation left behind, where that was cut short."""
        request = m.SignOn(self.node, f"Linux {platform.machine()}")
        fresh = self._fresh_file
        try:
            return Session(self._client(), "backup", request, read_secret(self.password_file).rstrip(b"\r\n"))
        except Refused as refused:
            if refused.refusal.code != "authentication" or not fresh.is_file():
                raise
        session = Session(self._client(), "backup", request, read_secret(fresh))
        fresh.replace(self.password_file)
        return session

    def _client(self) -> RpcClient:
        return RpcClient(self.address, peer_of(self.server), Identity.load(self.identity))

    @property
    def _fresh_file(self) -> Path:
        return self.password_file.with_name(f"{self.password_file.name}.new")

    def _rotate(self, session: Session) -> None:
        """Replace the expired password by a random one; kept beside the old one before the server hears of it."""
        password, salt = os.urandom(24).hex().encode(), os.urandom(SALT_BYTES)
        write_secret(self._fresh_file, password)
        key = stored_key(password, salt)
        session.call(lambda seq: m.ChangePassword(seq, salt, key, len(password)))
        self._fresh_file.replace(self.password_file)


def peer_of(server: str) -> str:
    """Return the name in a backup server's certificate: ``server:DELHI``. A name with a colon is taken as it is."""
    return server if ":" in server else f"server:{server.upper()}"


def password_path(directory: Path, node: str, server: str) -> Path:
    """Return the password file of a node at a server."""
    return directory / f"{node.upper()}@{server.upper().replace(':', '_')}.password"


def save_password(directory: Path, node: str, server: str, password: bytes) -> Path:
    """Keep a node's password for a server; return the file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = password_path(directory, node, server)
    write_secret(path, password.rstrip(b"\r\n"))
    return path


def open_admin(address: str, server: str, identity: Identity, name: str, password: bytes) -> Session:
    """Open an administrator's session. Raises ``Refused`` for a wrong password."""
    client = RpcClient(address, peer_of(server), identity)
    return Session(client, "admin", m.SignOn(name.upper()), password)
