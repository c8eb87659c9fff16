"""A backup server without a door: core, command language and schedule manager on a clock that the test turns.

The catalog, the keys and the commands are the real ones; only the transport is missing, and the wall clock, which is a
port of the server anyway.
"""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from holdfast.backup.drivers.files import FileMedia
from holdfast.backup.drivers.sqlite import SqliteDatabase
from holdfast.backup.drivers.sqliteselect import SqliteSelector
from holdfast.backup.ports import AdminCommand, Media
from holdfast.backup.service.admin.caller import acting_as
from holdfast.backup.service.admin.dispatch import perform
from holdfast.backup.service.admin.reply import Reply
from holdfast.backup.service.catalog.schema import metadata
from holdfast.backup.service.core import Core, MediaDrivers
from holdfast.backup.service.keys import KeyRing
from holdfast.backup.service.manager import ScheduleManager
from holdfast.backup.service.schedules import NodeSchedules, wall_ns
from holdfast.backup.service.serverfile import PoolConfig, ServerConfig
from holdfast.backup.service.setup import initialise
from holdfast.backup.session import messages as m
from holdfast.dialects.tsm.language import read_command, read_macro


def read(text: str) -> AdminCommand:
    """Read one command."""
    request = read_command(text)
    return AdminCommand(request.operation, request.args, request.text)


def no_other_media(*asked: object) -> Media:
    """Stands for every kind of media but files: this server has none of them."""
    raise AssertionError(f"no media were expected: {asked}")


class Office:
    """The server, its administrator's desk and its clock (2026-11-27 12:00, a Friday)."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.now = datetime.datetime(2026, 11, 27, 12, 0)
        pools = tuple(PoolConfig(name, directory / name) for name in ("BACKUPPOOL", "ARCHIVEPOOL"))
        self.config = ServerConfig("DELHI", directory, "127.0.0.1:1", directory, None, pools)
        self.open()

    def open(self) -> None:
        """Start the server, as its process would."""
        database = SqliteDatabase(self.directory / "catalog.db", metadata)
        others = {field.name: no_other_media for field in dataclasses.fields(MediaDrivers) if field.name != "files"}
        drivers = MediaDrivers(files=FileMedia, **others)  # type: ignore[arg-type]
        clock = lambda: wall_ns(self.now)  # noqa: E731
        self.core = Core("DELHI", self.directory, database, KeyRing(self.directory), clock, drivers)
        self.core.read_command = read
        self.core.selector = SqliteSelector(self.directory / "catalog.db")
        initialise(self.core, self.config)
        self.manager = ScheduleManager(self.core, perform)

    def run(self, text: str, code: int = 0, admin: str = "ADMIN") -> Reply:
        """Give a command; expect its return code."""
        request = read_command(text)
        with acting_as(admin):
            reply = perform(self.core, request.operation, request.args)
        assert reply.code == code, reply.messages
        return reply

    def macro(self, text: str) -> None:
        """Give commands that all succeed."""
        for request in read_macro(text, "macro"):
            reply = perform(self.core, request.operation, request.args)
            assert reply.code == 0, (request.text, reply.messages)

    def clock(self, text: str) -> None:
        """Set the clock (``11-27 22:00``) and let the schedule manager look."""
        self.now = datetime.datetime.fromisoformat(f"2026-{text}")
        self.manager.round()

    def log(self, search: str = "") -> list[str]:
        """The activity log of the last days."""
        request = read_command(f"q actlog begind=-9 se='{search}'")
        return [row[1] for row in perform(self.core, request.operation, request.args).rows]

    def asks(self, node: str = "VCSSHARE", address: str = "") -> m.Schedules:
        """What a node is told to do next."""
        return NodeSchedules(self.core, node).answer(m.QuerySchedules(1, address))

    def reports(self, row: m.ScheduleRow, status: str, code: int = 0, node: str = "VCSSHARE") -> m.Message:
        """A node reports on its event."""
        return NodeSchedules(self.core, node).report(m.ReportEvent(1, row.name, row.start_ns, status, code))

    def close(self) -> None:
        """End the server."""
        self.core.close()
