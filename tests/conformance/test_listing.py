"""Lists of versions from a real catalog: every way of paging and every depth gives what a plain filter gives."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from holdfast.backup.drivers.sqlite import SqliteDatabase
from holdfast.backup.service.catalog.schema import filespaces, metadata, versions
from holdfast.backup.service.listing import page
from holdfast.backup.session.messages import ListVersions

NAMES = [b"a", b"a\x01", b"a-", b"b", b"bb", b"\xff", b"\xff\xff", b"\x01"]


def fill(database: SqliteDatabase, rng: random.Random) -> None:
    """Two filespaces of random keys, each object with up to four versions, the last one active or not."""
    rows: list[dict[str, Any]] = []
    for filespace in (1, 2):
        keys = {b""} | {b"\0".join(rng.choices(NAMES, k=rng.randrange(1, 5))) for _ in range(300)}
        for key in sorted(keys):
            count = rng.randrange(1, 5)
            for number in range(count):
                active = number == count - 1 and rng.random() < 0.8
                row = {"filespace": filespace, "key": key, "kind": 1, "stat": b"", "extra": b"", "digest": b""}
                ended = None if active else (number + 2) * 10
                rows.append({**row, "content": b"", "stored_ns": (number + 1) * 10, "inactive_ns": ended})
    with database.write() as connection:
        connection.execute(insert(filespaces), [{"id": n, "node": "N", "name": f"/{n}", "type": ""} for n in (1, 2)])
        connection.execute(insert(versions), rows)


def everything(database: SqliteDatabase, asked: ListVersions) -> list[tuple[bytes, int]]:
    """What a client sees that asks for page after page."""
    found: list[tuple[bytes, int]] = []
    after = None
    while True:
        message = ListVersions(
            1, "/1", asked.pit_ns, asked.inactive, asked.latest, asked.under, after, asked.limit, False, asked.shallow
        )
        with database.read() as connection:
            rows, last = page(connection, 1, message)
        found.extend((row.key, row.stored_ns) for row in rows)
        if last:
            return found
        after = rows[-1].key


def expected(database: SqliteDatabase, asked: ListVersions) -> list[tuple[bytes, int]]:
    """The same by a filter over all rows."""
    with database.read() as connection:
        rows = connection.execute(select(versions).where(versions.c.filespace == 1)).all()
    prefix = asked.under + b"\0" if asked.under else b""
    newest = {key: max(row.id for row in rows if row.key == key) for key in {row.key for row in rows}}
    found = []
    for row in rows:
        inside = row.key == asked.under or row.key.startswith(prefix)
        near = row.key == asked.under or b"\0" not in row.key[len(prefix) :]
        if asked.pit_ns is not None:
            right = row.stored_ns <= asked.pit_ns and (row.inactive_ns is None or row.inactive_ns > asked.pit_ns)
        elif asked.latest:
            right = row.id == newest[row.key]
        else:
            right = asked.inactive or row.inactive_ns is None
        if inside and right and (near or not asked.shallow):
            found.append((row.key, row.stored_ns))
    return sorted(found)


@pytest.mark.parametrize("kind", ["active", "inactive", "latest", "pit"])
def test_every_list_is_what_a_filter_gives(tmp_path: Path, rng: random.Random, kind: str) -> None:
    database = SqliteDatabase(tmp_path / "catalog.db", metadata)
    fill(database, rng)
    for _ in range(60):
        under = rng.choice([b"", b"a", b"a\0b", b"a\x01", b"b", b"\xff", b"\xff\0\xff", b"missing"])
        pit = rng.choice([5, 15, 25, 45]) if kind == "pit" else None
        limit, shallow = rng.choice([3, 70, 500]), rng.random() < 0.6
        asked = ListVersions(
            1, "/1", pit, kind == "inactive", kind == "latest", under, None, max(limit, 5), False, shallow
        )
        assert everything(database, asked) == expected(database, asked), asked
    database.close()
