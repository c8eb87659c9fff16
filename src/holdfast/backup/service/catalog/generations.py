"""Generations: a random name for the state of a filespace's active versions, new whenever one of them changes.

A client that kept a list of what is active may trust it while the generation is the one it was told. Every statement
that stores, expires, rebinds or removes an active version must call :func:`changed` in the same transaction.
"""

from __future__ import annotations

import os

from sqlalchemy import Column, Connection, LargeBinary, Table, delete, insert, select

from holdfast.backup.service.catalog.schema import ID, metadata

_BYTES = 16
generations = Table(
    "generations",
    metadata,
    Column("filespace", ID, primary_key=True, autoincrement=False),
    Column("value", LargeBinary, nullable=False),
)


def generation_of(connection: Connection, filespace: int) -> bytes:
    """Return the filespace's generation; empty when nothing was ever stored."""
    found = connection.execute(select(generations.c.value).where(generations.c.filespace == filespace)).scalar()
    return bytes(found or b"")


def changed(connection: Connection, filespace: int) -> bytes:
    """Give the filespace a new generation and return it."""
    value = os.urandom(_BYTES)
    connection.execute(delete(generations).where(generations.c.filespace == filespace))
    connection.execute(insert(generations), {"filespace": filespace, "value": value})
    return value


def all_changed(connection: Connection) -> None:
    """Active versions of any filespace may have changed: no client's list counts any more."""
    connection.execute(delete(generations))
