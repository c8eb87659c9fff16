"""Proof of a password without sending or storing it (the scheme of SCRAM, with scrypt in place of PBKDF2).

The server keeps the salt and a *stored key*; from neither can a proof be made. The client proves that it knows the
password for this one challenge, bound to its own name. A wrong name gets a challenge like any other, so that names
cannot be probed.
"""

from __future__ import annotations

import hashlib
import hmac

SALT_BYTES = 16
NONCE_BYTES = 24
_COST, _BLOCK, _LANES = 2**14, 8, 1


def client_key(password: bytes, salt: bytes) -> bytes:
    """Return the key from which proofs are made. Deliberately slow (scrypt, 16 MiB)."""
    salted = hashlib.scrypt(password, salt=salt, n=_COST, r=_BLOCK, p=_LANES, maxmem=64 * 1024 * 1024, dklen=32)
    return hmac.digest(salted, b"holdfast client key", "sha256")


def stored_key(password: bytes, salt: bytes) -> bytes:
    """Return what a server keeps of a password."""
    return hashlib.sha256(client_key(password, salt)).digest()


def prove(password: bytes, salt: bytes, nonce: bytes, name: str) -> bytes:
    """Return the proof for one challenge."""
    key = client_key(password, salt)
    return _mask(key, hashlib.sha256(key).digest(), nonce, name)


def check(kept: bytes, proof: bytes, nonce: bytes, name: str) -> bool:
    """Return whether ``proof`` was made by one who knows the password behind ``kept``."""
    key = _mask(proof, kept, nonce, name)
    return len(proof) == 32 and hmac.compare_digest(hashlib.sha256(key).digest(), kept)


def _mask(value: bytes, kept: bytes, nonce: bytes, name: str) -> bytes:
    signature = hmac.digest(kept, nonce + name.encode(), "sha256")
    return bytes(left ^ right for left, right in zip(value, signature, strict=False))
