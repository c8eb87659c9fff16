"""What an expiration finds in a real catalog: by its index of days, by going through everything, and by the plan."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import insert

from holdfast.backup.drivers.sqlite import SqliteDatabase
from holdfast.backup.model.policy import NOLIMIT, BackupCopyGroup, ClassBinding
from holdfast.backup.plan.expiration import DAY_NS, Version, expired
from holdfast.backup.service.catalog.schema import filespaces, metadata, versions
from holdfast.backup.service.core import Core
from holdfast.backup.service.expire import aged, over_rules

NOW = 1_000 * DAY_NS
COLUMNS = {"filespace": 1, "kind": 1, "stat": b"", "extra": b"", "digest": b"", "content": b""}


def catalog(directory: Path, rng: random.Random) -> tuple[Core, dict[bytes, list[dict[str, Any]]]]:
    """Make a catalog of random histories; an object's versions share a class."""
    database = SqliteDatabase(directory / "catalog.db", metadata)
    objects: dict[bytes, list[dict[str, Any]]] = {}
    number = 0
    for name in range(400):
        key, mgmtclass = b"file%d" % name, rng.choice(["SHORT", "LONG", "NOBODY", "GONE"])
        days = sorted(rng.sample(range(900, 1_000), rng.randrange(2, 7)))
        ends = [day * DAY_NS for day in days]
        for stored, ended in itertools.pairwise(ends):
            number += 1
            last = ended == ends[-1]
            inactive = None if last and rng.random() < 0.6 else ended
            row = {**COLUMNS, "id": number, "key": key, "mgmtclass": mgmtclass, "stored_ns": stored}
            objects.setdefault(key, []).append({**row, "inactive_ns": inactive})
    with database.write() as connection:
        connection.execute(insert(filespaces), {"id": 1, "node": "N", "name": "/1", "type": ""})
        connection.execute(insert(versions), [row for rows in objects.values() for row in rows])
    return cast(Core, SimpleNamespace(database=database)), objects


def test_days_off_the_index_are_the_days_of_the_plan(tmp_path: Path, rng: random.Random) -> None:
    for turn in range(12):
        directory = tmp_path / str(turn)
        directory.mkdir()
        core, objects = catalog(directory, rng)
        groups = {}
        for name in ("SHORT", "LONG"):
            days = [rng.choice([0, 10, 30, 60, NOLIMIT]) for _ in range(2)]
            groups[name] = BackupCopyGroup("POOL", NOLIMIT, NOLIMIT, *days)
        policy = {name: ClassBinding(name, group, None, name == "SHORT") for name, group in groups.items()}
        policy["NOBODY"] = ClassBinding("NOBODY", None, None, False)
        wanted = set()
        for rows in objects.values():
            group = groups.get(rows[0]["mgmtclass"], groups["SHORT"])
            found = [Version(row["id"], row["stored_ns"], row["inactive_ns"]) for row in rows]
            wanted.update(expired(found, group, NOW))
        assert {id for part in aged(core, 1, policy, NOW) for id in part} == wanted
        assert {id for part in over_rules(core, 1, policy, NOW) for id in part} == wanted
        core.database.close()
