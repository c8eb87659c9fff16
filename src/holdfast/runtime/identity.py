"""Who a process is: its certificate and key, the name that they prove, and TLS contexts made of them.

An identity directory holds ``ca.pem``, ``cert.pem`` and ``key.pem`` (mode 600). A process is addressed by its name
(``array:IBM.2107-75FA120``), not by its address, so an identity stays good when a service moves. Every command loads
one, so nothing is imported here that only the authority needs.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

from holdfast.kernel.errors import InputError
from holdfast.runtime.secretfile import read_secret, write_secret


def host_label(name: str) -> str:
    """Return ``name`` as the DNS label that TLS checks: ``array:IBM.2107-75FA120`` → ``array-ibm-2107-75fa120``."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a process is: PEM texts of the authority, of its own certificate and of its key."""

    ca: bytes
    cert: bytes
    key: bytes

    @classmethod
    def load(cls, directory: Path) -> Identity:
        """Read an identity. Raises :class:`InputError` when a part is missing or others can read the key."""
        key = read_secret(directory / "key.pem")
        try:
            return cls((directory / "ca.pem").read_bytes(), (directory / "cert.pem").read_bytes(), key)
        except OSError as error:
            text = f"identity cannot be read: {error.strerror}"
            raise InputError(text, file=str(error.filename), remedy="issue it: holdfast authority issue") from error

    @property
    def name(self) -> str:
        """The common name of the certificate."""
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        names = x509.load_pem_x509_certificate(self.cert).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""


def save_identity(identity: Identity, directory: Path) -> None:
    """Write an identity directory; the key gets mode 600."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ca.pem").write_bytes(identity.ca)
    (directory / "cert.pem").write_bytes(identity.cert)
    write_secret(directory / "key.pem", identity.key)


def proven_name(transport: asyncio.BaseTransport) -> str:
    """Return the name that the certificate of the other end of a TLS connection carries; empty without one."""
    certificate = transport.get_extra_info("peercert") or {}
    names = [text for part in certificate.get("subject", ()) for name, text in part if name == "commonName"]
    return names[0] if names else ""


def server_context(directory: Path) -> ssl.SSLContext:
    """Return a TLS context that proves the identity in ``directory`` and demands one of every client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    context.load_verify_locations(directory / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(directory: Path) -> ssl.SSLContext:
    """Return a TLS context for a client; connect with ``server_hostname=host_label(name of the server)``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    context.load_verify_locations(directory / "ca.pem")
    return context
