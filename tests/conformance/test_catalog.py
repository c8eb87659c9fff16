"""Every catalog driver keeps the same promises: transactions, snapshots, one writer, copies, migrations, claims."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, inspect, select, text, update

sys.path.insert(0, str(Path(__file__).parent.parent / "live"))

from pglab import new_database

from holdfast.backup.drivers.postgres import PostgresClaims, PostgresDatabase
from holdfast.backup.drivers.sqlite import SqliteDatabase
from holdfast.backup.model.policy import NOLIMIT
from holdfast.backup.ports import Claims, Database
from holdfast.backup.service.catalog import archive, generations, storage  # noqa: F401  their tables
from holdfast.backup.service.catalog.schema import devclasses, filespaces, metadata, nodes, pools, settings, versions
from holdfast.backup.service.claims import LocalClaims
from holdfast.kernel.errors import InputError, Unavailable

Open = Callable[[], Database]


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open the same catalog as often as asked."""
    made: list[Database] = []
    url = new_database() if request.param == "postgresql" else ""

    def open_one() -> Database:
        made.append(PostgresDatabase(url, metadata) if url else SqliteDatabase(tmp_path / "catalog.db", metadata))
        return made[-1]

    yield open_one
    for database in made:
        database.close()


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(settings.c.name).order_by(settings.c.name)).scalars())


def test_what_ended_stays_and_what_broke_leaves_nothing(opened: Open) -> None:
    database = opened()
    with database.write() as connection:
        connection.execute(insert(settings), {"name": "kept", "value": "1"})

    def break_off() -> None:
        with database.write() as connection:
            connection.execute(insert(settings), {"name": "broken", "value": "1"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    database.close()
    with opened().read() as connection:
        assert names(connection) == ["kept"]


def test_a_reader_sees_one_snapshot(opened: Open) -> None:
    database = opened()
    with database.read() as reader:
        assert names(reader) == []
        with database.write() as writer:
            writer.execute(insert(settings), {"name": "later", "value": ""})
        assert names(reader) == []
    with database.read() as reader:
        assert names(reader) == ["later"]


def test_writers_exclude_one_another(opened: Open) -> None:
    """Read, then write what follows from it: forty times from two openings, no step is lost."""
    first, second = opened(), opened()
    with first.write() as connection:
        connection.execute(insert(settings), {"name": "count", "value": "0"})

    def count(database: Database) -> None:
        for _ in range(20):
            with database.write() as connection:
                value = int(connection.execute(select(settings.c.value)).scalar_one())
                connection.execute(update(settings).values(value=str(value + 1)))

    threads = [threading.Thread(target=count, args=(database,)) for database in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with first.read() as connection:
        assert connection.execute(select(settings.c.value)).scalar_one() == "40"


def version(id: int, key: bytes) -> dict[str, object]:
    blank = dict.fromkeys(("stat", "extra", "digest", "content"), b"\x80\x00\xff")
    return {"id": id, "filespace": 1, "key": key, "kind": 1, **blank, "size_bytes": 2**40, "stored_ns": 2**62}


def test_keys_are_bytes_in_the_order_of_bytes(opened: Open) -> None:
    keys = [b"", b"\0", b"a", b"a\0b", b"a-c", b"b", b"\x7f", b"\x80", b"\xff\xfe"]
    database = opened()
    with database.write() as connection:
        connection.execute(insert(filespaces), {"id": 1, "node": "N", "name": "/fs"})
        connection.execute(insert(versions), [version(n, key) for n, key in enumerate(reversed(keys), 1)])
    with database.read() as connection:
        found = connection.execute(select(versions).order_by(versions.c.key)).all()
    assert [bytes(row.key) for row in found] == keys
    assert (found[0].size_bytes, found[0].stored_ns, bytes(found[0].stat)) == (2**40, 2**62, b"\x80\x00\xff")


def test_a_copy_holds_everything_and_opens_as_sqlite(opened: Open, tmp_path: Path) -> None:
    database = opened()
    with database.write() as connection:
        connection.execute(insert(filespaces), {"id": 1, "node": "N", "name": "/fs"})
        connection.execute(insert(versions), [version(n, b"k%d" % n) for n in range(1, 300)])
    database.copy_to(tmp_path / "copy.db")
    copy = SqliteDatabase(tmp_path / "copy.db", metadata)
    with copy.read() as there, database.read() as here:
        for table in (filespaces, versions):
            statement = select(table).order_by(table.c.id)
            assert there.execute(statement).all() == here.execute(statement).all()
    copy.close()


def test_a_catalog_of_an_older_release_is_brought_up_to_date(opened: Open) -> None:
    database = opened()
    with database.write() as connection:
        connection.execute(insert(devclasses), {"name": "C", "type": "FILE"})
        connection.execute(insert(pools), {"name": "P", "devclass": "C"})
        connection.execute(insert(nodes), {"name": "N", "salt": b"s", "stored_key": b"k"})
        for table, column in (("pools", "access"), ("pools", "cache"), ("pools", "migcontinue"), ("nodes", "platform")):
            connection.execute(text(f"ALTER TABLE {table} DROP COLUMN {column}"))
        connection.execute(text("DROP TABLE catalog_records"))
        connection.execute(text("DROP TABLE alembic_version"))
    database.close()
    with opened().read() as connection:
        row = connection.execute(select(pools)).one()
        assert (row.access, row.cache, row.migcontinue, row.maxscratch) == ("READWRITE", False, True, NOLIMIT)
        assert connection.execute(select(nodes.c.platform)).scalar_one() == ""
        assert "DISK" in connection.execute(select(devclasses.c.name)).scalars().all()
        assert "catalog_records" in inspect(connection).get_table_names()


def test_a_catalog_of_a_newer_release_is_refused_and_left_alone(opened: Open) -> None:
    database = opened()
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(InputError, match="revision 9999"):
        opened()


def test_numbers_go_on_behind_those_given_explicitly(opened: Open) -> None:
    database = opened()
    with database.write() as connection:
        connection.execute(insert(filespaces), {"id": 7, "node": "N", "name": "/a"})
    database.close()
    with opened().write() as connection:
        connection.execute(insert(filespaces), {"node": "N", "name": "/b"})
        assert connection.execute(select(filespaces.c.id).where(filespaces.c.name == "/b")).scalar_one() == 8
        connection.execute(delete(filespaces))


def test_an_address_with_a_password_or_nobody_behind_it_is_refused() -> None:
    with pytest.raises(InputError, match="holds a password"):
        PostgresDatabase("postgresql://holdfast:secret@127.0.0.1/holdfast", metadata)
    with pytest.raises(InputError, match="no catalog"):
        PostgresDatabase("mysql://127.0.0.1/holdfast", metadata)
    with pytest.raises(Unavailable):
        PostgresDatabase("postgresql://holdfast@/holdfast?host=/nonexistent", metadata)


@pytest.fixture(params=["local", "postgresql"])
def claims(request: pytest.FixtureRequest) -> Iterator[tuple[Claims, Claims]]:
    """Two who claim: threads of one process, or two processes on one database."""
    if request.param == "local":
        one: Claims = LocalClaims()
        yield one, one
        return
    url = new_database()
    first, second = PostgresClaims(url), PostgresClaims(url)
    yield first, second
    first.close()
    second.close()


def test_claims_exclude_and_share(claims: tuple[Claims, Claims]) -> None:
    one, other = claims
    assert one.take("volume:1")
    assert other.held("volume:1")
    assert not other.take("volume:1")
    assert other.take("volume:2")
    one.give("volume:1")
    assert other.take("volume:1")
    assert one.take("sessions", shared=True)
    assert other.take("sessions", shared=True)
    assert not other.take("sessions")
    one.give("sessions")
    assert not one.take("sessions", timeout_s=0.05)
    other.give("sessions")
    assert one.take("sessions")
    assert not other.take("sessions", shared=True)


def test_claims_end_with_their_process() -> None:
    url = new_database()
    gone, left = PostgresClaims(url), PostgresClaims(url)
    assert gone.take("pool:P:migration")
    assert not left.take("pool:P:migration")
    gone.close()
    assert left.take("pool:P:migration", timeout_s=5.0)
    left.close()
