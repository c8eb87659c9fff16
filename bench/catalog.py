"""A catalog of ten million versions: how fast it expires, lists one directory, and finds one file.

``python -m bench.catalog``; ``--versions`` makes a smaller one and keeps no result. Half of the versions are inactive
for longer than policy keeps them, a fifth of those have content that nothing else names. The catalog is filled past the
protocol; everything measured goes through a server process and a client's session over TLS.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import insert

from bench.first_backup import workplace
from bench.harness import Row, publish

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "live"))

import backup_lab

from holdfast.app.backupserver import build_core
from holdfast.backup.model.journal import RecordKind
from holdfast.backup.model.objects import Extra, Kind, Stat
from holdfast.backup.service.catalog.bulk import insert_rows
from holdfast.backup.service.catalog.schema import chunks, filespaces, groups, versions
from holdfast.backup.service.catalog.storage import catalog_records
from holdfast.backup.service.client.restore import Selection, list_versions

DAY_NS = 86_400 * 1_000_000_000
COLUMNS = (
    "id", "filespace", "key", "kind", "stat", "extra", "digest", "content", "mgmtclass", "size_bytes", "stored_ns",
    "inactive_ns",
)  # fmt: skip
PER_DIRECTORY, PER_GROUP, BATCH = 100, 1_000, 100_000
FIRST_GROUP = 1_000
pack = msgspec.msgpack.Encoder().encode
EXTRA = pack(Extra())


def key_of(number: int) -> bytes:
    """Return the key of an object: three levels, a hundred in a directory."""
    directory = number // PER_DIRECTORY
    return b"home\0user%05d\0project%02d\0file-%08d.txt" % (directory // 40, directory % 40, number)


def fill(server: backup_lab.LabServer, count: int) -> None:
    """Write ``count`` versions, two of each object: one inactive for forty days, one active."""
    core = build_core(server.config)
    now = time.time_ns()
    with core.database.write() as connection:
        connection.execute(insert(filespaces), {"id": 1, "node": "N", "name": "/fs", "type": "EXT4"})
        # as if its commits had been recorded in the volumes, so that the server need not do that now
        group = {"id": FIRST_GROUP - 1, "uuid": b"record", "pool": "BACKUPPOOL"}
        connection.execute(insert(groups), group)
        record = {
            "grp": FIRST_GROUP - 1,
            "kind": int(RecordKind.COMMIT),
            "filespace": 1,
            "versions": count,
            "at_ns": now,
        }
        connection.execute(insert(catalog_records), record)
    last_group = FIRST_GROUP - 1
    made = 0
    for start in range(0, count // 2, BATCH):
        rows: list[tuple[Any, ...]] = []
        chunk_rows: list[tuple[Any, ...]] = []
        for number in range(start, min(start + BATCH, count // 2)):
            own = 1 if number % 5 else 2  # every fifth object's old version has content of its own
            for chunk in range(made + 1, made + own + 1):
                name = random.Random(chunk).randbytes(32)
                chunk_rows.append((chunk, "BACKUPPOOL", name, FIRST_GROUP + chunk // PER_GROUP, 0, 5_000))
            rows += _versions(number, made + own, made + 1, now)
            made += own
        new_groups = range(last_group + 1, FIRST_GROUP + made // PER_GROUP + 1)
        group_rows = [(n, b"%016d" % n, "BACKUPPOOL", 5_000_000, 2_000_000) for n in new_groups]
        last_group = new_groups[-1] if new_groups else last_group
        with core.database.write() as connection:
            insert_rows(connection, groups, ("id", "uuid", "pool", "raw_bytes", "stored_bytes"), group_rows)
            insert_rows(connection, chunks, ("id", "pool", "name", "grp", "offset", "length"), chunk_rows)
            insert_rows(connection, versions, COLUMNS, rows)
    core.close()


def _versions(number: int, old_chunk: int, chunk: int, now: int) -> list[tuple[Any, ...]]:
    stat = pack(Stat(0o100644, 0, 0, 5_000 + number % 999, now, now, number, 1))
    same = (1, key_of(number), 1, stat, EXTRA, b"")
    kept = ("STANDARD", 5_000)
    old = (2 * number + 1, *same, pack([(old_chunk, 5_000)]), *kept, now - 90 * DAY_NS, now - 40 * DAY_NS)
    return [old, (2 * number + 2, *same, pack([(chunk, 5_000)]), *kept, now - 40 * DAY_NS, None)]


def ask(lab: backup_lab.Lab, objects: int, rng: random.Random) -> tuple[list[float], list[float]]:
    """Return the milliseconds of listing one directory, and of finding one file, each at a random place."""
    listed, found = [], []
    with lab.session("BENCH", "N") as session:
        for _ in range(20):
            key = key_of(rng.randrange(objects))
            began = time.perf_counter()
            rows = list(list_versions(session, Selection("/fs", key.rpartition(b"\0")[0], shallow=True)))
            listed.append((time.perf_counter() - began) * 1e3)
            assert len(rows) >= PER_DIRECTORY, len(rows)
            began = time.perf_counter()
            one = list(list_versions(session, Selection("/fs", key)))
            found.append((time.perf_counter() - began) * 1e3)
            assert [row.key for row in one] == [key]
            assert one[0].kind is Kind.FILE
    return listed, found


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versions", type=int, default=10_000_000)
    count = parser.parse_args().versions
    with workplace(24) as (directory, where):
        print(f"on {where}")
        lab = backup_lab.Lab(directory)
        server = lab.server("BENCH")
        try:
            server.run("register node", name="N", password="secret", domain="STANDARD")
            server.run("expire inventory", wait="YES")  # a policy that has been in force
            server.stop()
            began = time.monotonic()
            fill(server, count)
            print(f"{count} versions made in {time.monotonic() - began:.0f} s")
            server.start()
            listed, found = ask(lab, count // 2, random.Random(7))
            began = time.monotonic()
            reply = server.run("expire inventory", wait="YES")
            seconds = time.monotonic() - began
            gone = msgspec.msgpack.decode(reply.figures["versions"])
            assert gone == count // 2, reply.messages
            print(f"expired {gone} of {count} versions in {seconds:.1f} s: {'; '.join(reply.messages[-3:])}")
        finally:
            lab.close()
    rows = [
        _promise("versions looked at by an expiration, s for 100,000", "s", seconds / count * 100_000, 1.0),
        _promise("versions removed by an expiration, s for 100,000", "s", seconds / gone * 100_000, 1.0),
        _promise("query backup of one directory", "ms", statistics.median(listed), 100.0),
        _promise("find one file", "ms", statistics.median(found), 100.0),
    ]
    return publish("catalog" if count >= 10_000_000 else "", rows)


def _promise(what: str, unit: str, value: float, limit: float) -> Row:
    ratio = round(value / limit, 3)
    return Row(what, unit, round(value, 3), limit, "promise", ratio, 1.0, ratio <= 1.0)


if __name__ == "__main__":
    sys.exit(main())
