"""A backup server or its client killed at seeded points, a thousand times over: nothing acknowledged may be lost.

``python tests/live/killscenes.py --points 1000 --seed 7 DIRECTORY``. Each round starts the server with a count of
system calls (writes, syncs, cuts, unlinks, commits) after which it kills itself, and lets a client and an administrator
work until that happens: backup, copy, expiration, reclamation, migration, database backup. In every third round it is
the client that is killed. Then everything that a run acknowledged must restore, the next run must complete, and
every ten rounds an audit of all volumes must be clean.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab

from holdfast.backup.plan.inclexcl import Rules
from holdfast.backup.service.client import staging
from holdfast.backup.service.client.incremental import Incremental, Source
from holdfast.backup.service.client.restore import Restore, Selection
from holdfast.kernel.errors import HoldfastError

_POINTS = 400
_RUN = """
import os, signal, sys
from pathlib import Path
left = int(os.environ.get("KILL_AFTER", "0"))
def counted(call):
    def wrapper(*args, **kwargs):
        global left
        if left:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return wrapper
for name in ("write", "fsync", "ftruncate", "unlink", "pwrite", "replace"):
    setattr(os, name, counted(getattr(os, name)))
from sqlalchemy.engine import Connection
Connection.commit = counted(Connection.commit)
from holdfast.app.backupserver import serve
from holdfast.backup.service.serverfile import load_config
serve(load_config(Path(sys.argv[1])))
"""
_CLIENT = """
import os, signal, sys
from pathlib import Path
left = int(sys.argv[6])
from holdfast.backup.service.connection import Session
from holdfast.backup.service.client import staging
from holdfast.backup.service.client.incremental import Incremental, Source
from holdfast.backup.service.client.login import Login
from holdfast.backup.plan.inclexcl import Rules
staging._COMMIT_OBJECTS = 10
send = Session.send
def counted(self, message):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    send(self, message)
Session.send = counted
address, server, identity, password, tree = sys.argv[1:6]
login = Login(address, server, Path(identity), "N", Path(password))
with login.open() as session:
    Incremental(session, Source("/fs", tree), Rules([]), None).run()
"""


class Rounds:
    """One server, one tree, and what has been acknowledged of it."""

    def __init__(self, directory: Path, rng: random.Random) -> None:
        self.rng, self.directory = rng, directory
        backup_lab._RUN = _RUN
        self.lab = backup_lab.Lab(directory)
        pools = '[[pools]]\nname = "BACKUPPOOL"\ncapacity = "1M"\n[[pools]]\nname = "ARCHIVEPOOL"\n'
        self.server = self.lab.server("DELHI", pools)
        for operation, args in (
            ("register node", {"name": "N", "password": "secret"}),
            ("define devclass", {"name": "C", "devtype": "FILE", "maxcapacity": "1M"}),
            ("define stgpool", {"name": "SLOW", "devclass": "C"}),
            ("define stgpool", {"name": "COPY", "devclass": "C", "pooltype": "COPY"}),
            ("update stgpool", {"name": "BACKUPPOOL", "nextstgpool": "SLOW", "highmig": "100", "reclaim": "30"}),
            ("update copygroup", {"domain": "STANDARD", "policyset": "STANDARD", "mgmtclass": "STANDARD",
                                  "verexists": "2", "verdeleted": "0", "retextra": "0"}),
            ("activate policyset", {"domain": "STANDARD", "name": "STANDARD"}),
        ):  # fmt: skip
            outcome = self.server.run(operation, **args)
            assert outcome.code == 0, outcome.messages
        self.tree = directory / "tree"
        self.tree.mkdir()
        staging._COMMIT_OBJECTS = 10
        self.kept: dict[str, str] = {}
        """What an acknowledged run held: file → digest."""

    def run(self, points: int) -> None:
        """Kill so often; check after each."""
        for number in range(points):
            self._change()
            if number % 3 == 2:
                self._client_dies()
            else:
                self._server_dies()
            self._check(audit=number % 10 == 9 or number == points - 1)

    def _change(self) -> None:
        for _ in range(self.rng.randrange(1, 25)):
            path = self.tree / f"f{self.rng.randrange(60)}"
            if path.exists() and self.rng.random() < 0.3:
                path.unlink()
            else:
                path.write_bytes(self.rng.randbytes(self.rng.randrange(1, 40_000)))

    def _server_dies(self) -> None:
        self.server.stop(signal.SIGTERM)
        os.environ["KILL_AFTER"] = str(self.rng.randrange(1, _POINTS))
        try:
            self.server.start()
        except AssertionError:
            pass  # it died while it started: that is a point too
        finally:
            del os.environ["KILL_AFTER"]
        for step in (self._back_up, self._work):
            if self.server.process is not None and self.server.process.poll() is None:
                step()
        self.server.stop(signal.SIGKILL)
        self.server.start()

    def _client_dies(self) -> None:
        login = self.lab.login("DELHI", "N")
        words = [login.address, "DELHI", str(self.directory / "client"), str(login.password_file), str(self.tree)]
        command = [sys.executable, "-c", _CLIENT, *words, str(self.rng.randrange(1, 60))]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL, timeout=120)

    def _back_up(self) -> bool:
        now = {path.name: _digest(path) for path in self.tree.iterdir()}
        try:
            with self.lab.session("DELHI", "N") as session:
                Incremental(session, Source("/fs", str(self.tree)), Rules([]), None).run()
        except HoldfastError:
            return False
        self.kept = now
        return True

    def _work(self) -> None:
        """What an administrator may have under way; the server may die in any of it."""
        work = [
            ("backup stgpool", {"primary": "BACKUPPOOL", "copy": "COPY"}),
            ("backup stgpool", {"primary": "SLOW", "copy": "COPY"}),
            ("expire inventory", {}),
            ("reclaim stgpool", {"name": "BACKUPPOOL", "threshold": "20"}),
            ("migrate stgpool", {"name": "BACKUPPOOL", "lowmig": "0"}),
            ("reclaim stgpool", {"name": "SLOW", "threshold": "20"}),
            ("backup db", {"devclass": "C", "type": "INCREMENTAL"}),
        ]
        try:
            for operation, args in self.rng.sample(work, 4):
                self.server.run(operation, wait="YES", **args)
        except HoldfastError:
            return

    def _check(self, audit: bool) -> None:
        """The state of the last acknowledged run restores; then a new run completes and restores."""
        self._compare()
        assert self._back_up(), "the run after a kill completes"
        self._compare()
        if audit:
            for pool in ("BACKUPPOOL", "SLOW", "COPY"):
                outcome = self.server.run("audit volume", stgpool=pool, wait="YES")
                assert outcome.code in (0, 11), outcome.messages

    def _compare(self) -> None:
        """Every file of the last acknowledged run is there: as it was, or as a commit of a later run made it."""
        if not self.kept:
            return
        with tempfile.TemporaryDirectory(dir=self.directory) as to, self.lab.session("DELHI", "N") as session:
            figures = Restore(session, to).run(Selection("/fs"))
            assert figures.failures == [], figures.failures
            now = {path.name: _digest(path) for path in self.tree.iterdir()}
            found = {path.name: _digest(path) for path in Path(to).iterdir()}
            for name, digest in self.kept.items():
                allowed = {digest, now.get(name)}
                assert found.get(name) in allowed, f"{name} is lost or not what it was"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Carry out the rounds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    rounds = Rounds(options.directory, random.Random(options.seed))
    try:
        rounds.run(options.points)
    finally:
        rounds.lab.close()
    print(f"{options.points} kills, seed {options.seed}: nothing acknowledged was lost")


if __name__ == "__main__":
    main()
