"""The array's state file: the image under a checksum, the generation before it beside it.

A file that fails its checksum is refused, never guessed at: what an array believes of its pairs decides whether data
are overwritten. ``holdfast array repair`` (``service.repair``) then goes by the generation before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from blake3 import blake3

from holdfast.kernel.errors import InputError
from holdfast.replication.model.volumes import ArrayImage
from holdfast.runtime.secretfile import sync_directory

CURRENT, PREVIOUS, DAMAGED = "image.msgpack", "image.previous", "image.damaged"
REMEDY = "stop the array and run: holdfast array repair --config FILE"
_MAGIC = b"HFARRAY1"
_DIGEST_BYTES = 32


def read_state(path: Path) -> ArrayImage:
    """Return the image that a state file holds. Raises :class:`InputError` for one that is damaged.

    A file of an earlier version begins with its content and has no checksum; it is read as it is.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=str(path), remedy=REMEDY) from error
    body = content
    if content.startswith(_MAGIC):
        digest, body = content[len(_MAGIC) :][:_DIGEST_BYTES], content[len(_MAGIC) + _DIGEST_BYTES :]
        if blake3(body).digest() != digest:
            raise InputError("the array's state is damaged: its checksum is wrong", file=str(path), remedy=REMEDY)
    try:
        return msgspec.msgpack.decode(body, type=ArrayImage)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"the array's state cannot be read: {error}", file=str(path), remedy=REMEDY) from error


def write_state(directory: Path, image: ArrayImage) -> None:
    """Replace the state file in one step; what it held becomes the generation before."""
    body = msgspec.msgpack.encode(image)
    _write(directory / "image.new", _MAGIC + blake3(body).digest() + body)
    if (directory / CURRENT).exists():
        _replace(directory / PREVIOUS, lambda path: os.link(directory / CURRENT, path))
    os.replace(directory / "image.new", directory / CURRENT)
    sync_directory(directory)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, make: Callable[[Path], None]) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    make(temporary)
    os.replace(temporary, path)
