"""The built-in certificate authority: every process proves who it is with a certificate signed here.

An authority directory holds ``ca.pem`` and ``ca.key``; an identity directory holds ``ca.pem``, ``cert.pem`` and
``key.pem`` (mode 600) of one process. A process is addressed by its name (``array:IBM.2107-75FA120``), not by its
address, so an identity stays good when a service moves. Names are kept as the certificate's common name and, in a
form that DNS allows, as its subject alternative name.
"""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.runtime.secretfile import read_secret, write_secret

_LIFETIME = datetime.timedelta(days=3650)
_CLOCK_SLACK = datetime.timedelta(hours=1)


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
        """Read an identity directory. Raises :class:`InputError` when the key is missing or readable by others."""
        key = read_secret(directory / "key.pem")
        return cls((directory / "ca.pem").read_bytes(), (directory / "cert.pem").read_bytes(), key)

    @property
    def name(self) -> str:
        """The common name of the certificate."""
        return peer_name(x509.load_pem_x509_certificate(self.cert))


def peer_name(certificate: x509.Certificate) -> str:
    """Return the common name of a certificate, or an empty text."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def save_identity(identity: Identity, directory: Path) -> None:
    """Write an identity directory; the key gets mode 600."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ca.pem").write_bytes(identity.ca)
    (directory / "cert.pem").write_bytes(identity.cert)
    write_secret(directory / "key.pem", identity.key)


def create_authority(directory: Path, name: str = "Holdfast authority") -> None:
    """Create a certificate authority in ``directory``; an existing one is kept."""
    if (directory / "ca.key").exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, subject, key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    (directory / "ca.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    write_secret(directory / "ca.key", _key_pem(key))


def issue(authority: Path, name: str) -> Identity:
    """Return a new identity for ``name``, signed by the authority in ``authority``."""
    ca_pem = (authority / "ca.pem").read_bytes()
    ca = x509.load_pem_x509_certificate(ca_pem)
    ca_key = serialization.load_pem_private_key(read_secret(authority / "ca.key"), password=None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), ca.subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host_label(name))]), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
    )
    cert = builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return Identity(ca_pem, cert, _key_pem(key))


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


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + _LIFETIME)
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
