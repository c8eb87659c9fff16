"""A backup server with small volumes, its tree, and what an administrator types: shared by the tests of storage."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import backup_lab
import msgspec

from holdfast.backup.plan.inclexcl import Rules
from holdfast.backup.service.client.incremental import Incremental, Source
from holdfast.backup.service.client.restore import Restore, Selection
from holdfast.backup.session import messages as m

SMALL = "5M"


class Scene:
    """One server with small volumes, a tree, and what an administrator types."""

    def __init__(self, tmp_path: Path, rng: random.Random, catalog: str = "") -> None:
        self.rng, self.path = rng, tmp_path
        self.lab = backup_lab.Lab(tmp_path)
        pools = "".join(f'[[pools]]\nname = "{name}"\ncapacity = "{SMALL}"\n' for name in ("BACKUPPOOL", "ARCHIVEPOOL"))
        address = f'catalog = "{catalog}"\n' if catalog else ""
        self.server = self.lab.server("DELHI", address + pools)
        self.good("register node", name="N", password="secret")
        self.good("define devclass", name="SLOWCLASS", devtype="FILE", maxcapacity=SMALL)
        self.tree = tmp_path / "tree"
        self.tree.mkdir()

    def good(self, operation: str, **args: str) -> m.Outcome:
        outcome = self.server.run(operation, **args)
        assert outcome.code == 0, outcome.messages
        return outcome

    def refused(self, operation: str, **args: str) -> str:
        outcome = self.server.run(operation, **args)
        assert outcome.code != 0
        return " ".join(outcome.messages)

    def rows(self, operation: str, **args: str) -> list[dict[str, str]]:
        outcome = self.server.run(operation, **args)
        return [dict(zip(outcome.columns, row, strict=True)) for row in outcome.rows]

    def settings(self) -> list[dict[str, str]]:
        """Return what is set of the pools, without how full they are at the moment."""
        usage = {"Estimated Capacity", "Pct Util", "Pct Migr", "Number of Scratch Volumes Used", "Pct Logical",
                 "Migration in Progress?"}  # fmt: skip
        found = self.rows("query stgpool", format="DETAILED")
        return [{name: value for name, value in row.items() if name not in usage} for row in found]

    def volumes(self, pool: str) -> list[str]:
        return [row["Volume Name"] for row in self.rows("query volume", stgpool=pool)]

    def write(self, *names: str, size: int = 300_000) -> None:
        for name in names:
            (self.tree / name).write_bytes(self.rng.randbytes(size))

    def back_up(self) -> None:
        self.back_up_at("DELHI", "N", "/fs")

    def back_up_at(self, server: str, node: str, filespace: str) -> None:
        with self.lab.session(server, node) as session:
            Incremental(session, Source(filespace, str(self.tree)), Rules([]), None).run()

    def restored(self, server: str = "DELHI") -> str:
        """Restore everything and return what differs."""
        target = self.path / f"back-{time.monotonic_ns()}"
        with self.lab.session(server, "N") as session:
            failures = Restore(session, str(target)).run(Selection("/fs")).failures
        return backup_lab.differences(self.tree, target) + "".join(failures)

    def fullest(self, pool: str) -> str:
        """Return the volume of a pool with the most bytes: it holds content."""
        return max(self.volumes(pool), key=lambda volume: self.file_of(volume).stat().st_size)

    def bytes_of(self, pool: str) -> int:
        """Return what the files of a pool's volumes hold."""
        return sum(self.file_of(volume).stat().st_size for volume in self.volumes(pool))

    def file_of(self, volume: str) -> Path:
        return next(self.path.glob(f"DELHI/pools/*/{volume}"))


def figure(outcome: m.Outcome, name: str) -> int:
    return msgspec.msgpack.decode(outcome.figures[name], type=int)


def eventually(what: str, test: Callable[[], object]) -> None:
    deadline = time.monotonic() + 15
    while not test():
        assert time.monotonic() < deadline, f"not within 15 s: {what}"
        time.sleep(0.05)


def flip(path: Path, rng: random.Random) -> None:
    """Flip one bit of the large record of content in the middle of a volume."""
    size = path.stat().st_size
    at = rng.randrange(size * 4 // 10, size * 6 // 10)
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << rng.randrange(8))]))
