"""The built-in certificate authority: every process proves who it is with a certificate signed here.

An authority directory holds ``ca.pem`` and ``ca.key``. Names are kept as the certificate's common name and, in a form
that DNS allows, as its subject alternative name; ``runtime.identity`` loads and uses what is issued here. A key is made
where it is used: another machine sends a request (:func:`key_and_request`), only the certificate travels back.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.kernel.errors import InputError
from holdfast.runtime.identity import Identity, host_label
from holdfast.runtime.secretfile import read_secret, write_secret

_LIFETIME = datetime.timedelta(days=3650)
_CLOCK_SLACK = datetime.timedelta(hours=1)


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


def issue(authority: Path, name: str, addresses: Sequence[str] = ()) -> Identity:
    """Return a new identity for ``name``, signed by the authority in ``authority``; it also proves ``addresses``."""
    key, request = key_and_request(name)
    return Identity((authority / "ca.pem").read_bytes(), sign(authority, request, name, addresses), key)


def key_and_request(name: str) -> tuple[bytes, bytes]:
    """Return a new key and a request to certify it as ``name``'s, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return _key_pem(key), request.public_bytes(serialization.Encoding.PEM)


def sign(authority: Path, request: bytes, name: str, addresses: Sequence[str] = ()) -> bytes:
    """Return the certificate, PEM, of the key in ``request``. Name and addresses are the authority's word: what the
    request says of itself counts for nothing. Raises :class:`InputError` for what is no request."""
    try:
        asked = x509.load_pem_x509_csr(request)
    except ValueError as error:
        raise InputError("this is no certificate request", remedy="send one in PEM") from error
    key = asked.public_key()
    if not asked.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
        raise InputError("the request does not prove its key", remedy="make it anew: holdfast cluster join")
    ca = x509.load_pem_x509_certificate((authority / "ca.pem").read_bytes())
    ca_key = serialization.load_pem_private_key(read_secret(authority / "ca.key"), password=None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    proved: list[x509.GeneralName] = [x509.DNSName(host_label(name))]
    proved += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = (
        _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), ca.subject, key)
        .add_extension(x509.SubjectAlternativeName(proved), critical=False)
        .add_extension(uses, critical=False)
    )
    return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a PEM certificate in hexadecimal: short enough to be carried by hand."""
    found = x509.load_pem_x509_certificate(certificate)
    return hashlib.sha256(found.public_bytes(serialization.Encoding.DER)).hexdigest()


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
