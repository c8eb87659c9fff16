"""The software array as its users see it: a client of its management service.

The array proves the name ``array:<storage image>``. A caller that does not know which array answers at an address asks
the certificate first (:func:`array_at`), which is still checked against the authority.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from holdfast.kernel.errors import Refusal, Refused, Unavailable
from holdfast.replication.operations import DEFAULT_PORT, METHOD, Answer, Command
from holdfast.runtime.identity import Identity, client_context
from holdfast.runtime.rpc import RpcClient


@dataclass(frozen=True, slots=True)
class Revocation:
    """The array's confirmation that no write of ``host`` with a key up to ``key`` can be applied any more."""

    array: str
    host: str
    key: int
    sequence: int
    connections_closed: int


def full_address(address: str) -> str:
    """Return ``host:port``; the default port when there is none."""
    return address if address.rpartition(":")[1] else f"{address}:{DEFAULT_PORT}"


def array_at(address: str, identity: Path, timeout_s: float = 3.0) -> str:
    """Return the storage image that answers at ``address``. Raises ``Unavailable``."""
    host, _, port = full_address(address).rpartition(":")
    context = client_context(identity)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_s) as plain, context.wrap_socket(plain) as tls:
            certificate = tls.getpeercert() or {}
    except (OSError, ssl.SSLError) as error:
        raise Unavailable(f"no array answers at {address}: {error}", "check the address and the array") from error
    name = common_name(certificate)
    if not name.startswith("array:"):
        raise Unavailable(f"{name or 'nobody'} answers at {address}, not an array")
    return name.removeprefix("array:")


def common_name(certificate: Any) -> str:
    """Return the common name of a certificate as the ssl module describes it."""
    subject: tuple[tuple[tuple[str, str], ...], ...] = certificate.get("subject", ())
    return next((value for part in subject for key, value in part if key == "commonName"), "")


class SoftArray:
    """One array's management service. Usable from several threads."""

    def __init__(self, address: str, identity: Path, image: str = "", user: str = "", password: str = "") -> None:
        address = full_address(address)
        self.image = image or array_at(address, identity)
        self._user, self._password = user, password
        self._client = RpcClient(address, f"array:{self.image}", Identity.load(identity))

    def run(self, verb: str, objects: list[str] | None = None, timeout_s: float = 30.0, **options: Any) -> Answer:
        """Send one command. Raises ``Unavailable``, or ``Refused`` when the whole command is refused."""
        command = Command(verb, objects or [], options, self._user, self._password)
        return msgspec.msgpack.decode(
            self._client.call(METHOD, msgspec.msgpack.encode(command), timeout_s), type=Answer
        )

    def change(self, verb: str, objects: list[str], timeout_s: float = 30.0, **options: Any) -> Answer:
        """Send one command and raise the first object's refusal, if any."""
        answer = self.run(verb, objects, timeout_s, **options)
        for outcome in answer.outcomes:
            if outcome.code:
                raise Refused(Refusal(outcome.code, f"{outcome.object}: {outcome.reason}", outcome.remedy))
        return answer

    def revoke(self, host: str, key: int, timeout_s: float = 10.0) -> Revocation:
        """Bar ``host`` up to ``key`` on all volumes; the return is evidence for a takeover on this array."""
        row = self.run("revoke", timeout_s=timeout_s, host=host, key=key).rows[0]
        return Revocation(**row)

    def nbd_uri(self, volume: str, host: str, key: int) -> str:
        """Return where ``host`` reaches the volume with its key."""
        return f"nbd://{self.run('info').rows[0]['nbd']}/{host}.{key}/{volume}"

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._client.close()
