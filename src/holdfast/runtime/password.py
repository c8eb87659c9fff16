"""What is kept of a password: a slow, salted digest that the password can be checked against and not be had from."""

from __future__ import annotations

import hashlib
import hmac
import os

_ROUNDS = 200_000
_SALT_BYTES = 8


def digest(password: str, salt: bytes = b"") -> str:
    """Return what is kept of a password; an empty one gives nothing, so that it never fits."""
    if not password:
        return ""
    salt = salt or os.urandom(_SALT_BYTES)
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS)
    return f"p{salt.hex()}{made.hex()}"


def fits(password: str, kept: str) -> bool:
    """Whether a password is the one that ``kept`` was made of."""
    try:
        salt = bytes.fromhex(kept[1 : 1 + 2 * _SALT_BYTES])
    except ValueError:
        return False
    return bool(password and salt) and hmac.compare_digest(digest(password, salt), kept)
