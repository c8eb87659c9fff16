"""How a machine that has nothing gets certificates: a token carried by hand, one TLS line each way.

The token is ``SECRET.FINGERPRINT``. The newcomer first fetches the authority's certificate over a connection that it
does not trust yet and compares its fingerprint; only then does it connect again, demand a server that this authority
has certified as ``enrolment``, and show the secret. So neither the secret nor what is signed can be had by one who
stands between. Keys are made by the newcomer and never travel.

A token is kept as a hash, lives for a bounded time and serves one newcomer: the first who shows it binds it to
its name and its keys, so that the same one may ask again after a break, and nobody else.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from holdfast.kernel.errors import InputError, Refusal, Refused, Unavailable
from holdfast.runtime.identity import host_label
from holdfast.runtime.secretfile import read_secret, write_secret

NAME = "enrolment"
"""What the enrolment server proves by its certificate."""
LINE_LIMIT_BYTES = 256 * 1024
CALL_LIMIT_S = 30.0

Answerer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Tokens:
    """The live tokens in one file of mode 600, as hashes. Times are seconds of the wall clock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self, now: float, lifetime_s: float) -> str:
        """Add a token and return its secret, which is kept nowhere."""
        secret = secrets.token_urlsafe(24)
        self._write(self.live(now) | {_hash(secret): {"until": now + lifetime_s, "bound": ""}})
        return secret

    def live(self, now: float) -> dict[str, dict[str, Any]]:
        """Return the tokens that have not run out, by hash."""
        if not self._path.exists():
            return {}
        found: dict[str, dict[str, Any]] = json.loads(read_secret(self._path))
        return {key: token for key, token in found.items() if token["until"] > now}

    def bind(self, secret: str, newcomer: str, now: float) -> None:
        """Accept ``secret`` from ``newcomer`` (its name and keys). Raises ``Refused``."""
        tokens = self.live(now)
        mine = next((key for key in tokens if hmac.compare_digest(key, _hash(secret))), None)
        if mine is None or tokens[mine]["bound"] not in ("", _hash(newcomer)):
            reason = "the token is not known here, has run out, or another system has used it"
            raise Refused(Refusal("bad-token", reason, "make another on the first system: holdfast cluster token"))
        tokens[mine]["bound"] = _hash(newcomer)
        self._write(tokens)

    def _write(self, tokens: Mapping[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_secret(self._path, json.dumps(tokens).encode())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def split_token(token: str) -> tuple[str, str]:
    """Return secret and fingerprint. Raises :class:`InputError` for what is no token."""
    secret, _, fingerprint = token.rpartition(".")
    if not secret or len(fingerprint) != 64:
        raise InputError("this is no token", remedy="copy the whole line that holdfast cluster init or token printed")
    return secret, fingerprint


def serve_one(listener: socket.socket, context: ssl.SSLContext, authority: bytes, answer: Answerer) -> None:
    """Answer one connection of ``listener``; who talks nonsense or not at all is hung up on.

    A ``Refused`` or ``Unavailable`` of ``answer`` is told to the caller.
    """
    with contextlib.suppress(OSError, ValueError), listener.accept()[0] as plain:
        plain.settimeout(CALL_LIMIT_S)
        with context.wrap_socket(plain, server_side=True) as line:
            asked = json.loads(_read_line(line))
            if not isinstance(asked, dict):
                return
            line.sendall(json.dumps(_told(asked, authority, answer)).encode() + b"\n")


def _told(asked: Mapping[str, Any], authority: bytes, answer: Answerer) -> Mapping[str, Any]:
    if asked.get("ask") == "authority":
        return {"ca": authority.decode()}
    try:
        return {"done": answer(asked)}
    except Refused as refused:
        found = refused.refusal
        return {"refused": [found.code, found.reason, found.remedy]}
    except (Unavailable, InputError) as error:
        return {"failed": [error.message, error.remedy]}


def await_server(host: str, port: int, limit_s: float) -> None:
    """Wait until somebody listens at ``host:port``. Raises ``Unavailable`` at the limit."""
    end = time.monotonic() + limit_s
    while True:
        try:
            socket.create_connection((host, port), timeout=1.0).close()
        except OSError as error:
            if time.monotonic() > end:
                raise Unavailable(f"nobody enrols at {host}:{port}: {error}", "see holdfast-enrolment.log") from error
            time.sleep(0.1)
        else:
            return


def server_side(directory: Path) -> ssl.SSLContext:
    """Return the TLS context of an enrolment server: it proves itself and asks for no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


def authority_at(host: str, port: int, fingerprint: str) -> bytes:
    """Return the authority's certificate (PEM) after comparing it. Raises ``Refused`` when it is another one."""
    from holdfast.runtime.authority import fingerprint as fingerprint_of

    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE  # only what is compared below is taken from it
    found = str(_asked(host, port, blind, {"ask": "authority"}).get("ca", "")).encode()
    try:
        same = hmac.compare_digest(fingerprint_of(found), fingerprint)
    except ValueError:
        same = False
    if not same:
        reason = f"{host} does not show the authority that the token names"
        raise Refused(Refusal("wrong-authority", reason, "check the address, and that nobody stands between"))
    return found


def enrol(host: str, port: int, authority: bytes, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask for what ``asked`` says, of a server that ``authority`` has certified; return what it gave."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority.decode())
    told = _asked(host, port, context, {"ask": "join", **asked})
    if "refused" in told:
        raise Refused(Refusal(*told["refused"]))
    if "failed" in told:
        raise Unavailable(*told["failed"])
    done: Mapping[str, Any] = told["done"]
    return done


def _asked(host: str, port: int, context: ssl.SSLContext, asked: Mapping[str, Any]) -> dict[str, Any]:
    try:
        with (
            socket.create_connection((host, port), timeout=CALL_LIMIT_S) as plain,
            context.wrap_socket(plain, server_hostname=host_label(NAME)) as line,
        ):
            line.sendall(json.dumps(asked).encode() + b"\n")
            found = json.loads(_read_line(line))
    except (OSError, ValueError) as error:
        remedy = "is the address right, and does a token live there? holdfast cluster token on the first system"
        raise Unavailable(f"nobody enrols at {host}:{port}: {error}", remedy) from error
    return found if isinstance(found, dict) else {}


def _read_line(line: ssl.SSLSocket) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        more = line.recv(65536)
        if not more or len(found) + len(more) > LINE_LIMIT_BYTES:
            raise ValueError("the line was cut off or is too long")
        found += more
    return found
