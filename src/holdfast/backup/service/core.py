"""The server's core: what every session and process of one server shares.

It owns the catalog, the key ring, the media of each device class, the clock that never runs back, and the activity log.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, insert, select

from holdfast.backup.model import messages
from holdfast.backup.model.pools import DISK, DeviceType
from holdfast.backup.ports import AdminCommand, Claims, Clock, Database, Media, RandomMedia, ReadCommand, Selector
from holdfast.backup.service.attempts import Attempts
from holdfast.backup.service.catalog.schema import actlog, devclasses, pools, settings, volumes
from holdfast.backup.service.claims import LocalClaims
from holdfast.backup.service.keys import KeyRing
from holdfast.backup.service.mounts import Mounts
from holdfast.backup.service.processes import ProcessTable
from holdfast.backup.service.sessions import SessionTable
from holdfast.kernel.errors import Refusal, Refused

RemoteMedia = Callable[["Core", str, str], Media]
"""Builds the media of a SERVER device class: core, server name, name prefix."""
ObjectMedia = Callable[[Any], Media]
"""Builds the media of an S3 device class from its row."""
FileMedia = Callable[[Path], Media]


@dataclass(frozen=True, slots=True)
class MediaDrivers:
    """The drivers that the composition root hands in."""

    files: FileMedia
    remote: RemoteMedia
    objects: ObjectMedia


class Core:
    """Shared state of one server process."""

    def __init__(
        self, name: str, directory: Path, database: Database, keys: KeyRing, clock: Clock, drivers: MediaDrivers
    ) -> None:
        self.name, self.directory, self.database, self.keys = name, directory, database, keys
        self._clock, self._drivers = clock, drivers
        self._last_ns = 0
        self._lock = threading.RLock()
        self._media: dict[str, Media] = {}
        self._sessions = itertools.count(1)
        self.processes = ProcessTable()
        self.sessions = SessionTable()
        self.claims: Claims = LocalClaims()
        self.mounts = Mounts(self)
        """Who appends to a volume, works on a pool, has a session open: see ``claims`` for the keys."""
        self.changed = threading.Event()
        """Set when pools filled or emptied; cleared by who watches their thresholds."""
        self.sparse = threading.Event()
        """Set when a sweep has found out anew how much of each volume lives; cleared by who reclaims."""
        self.attempts = Attempts()
        self.schedules_changed = threading.Event()
        """Set whenever a schedule, an association or an event changed: the schedule manager looks again."""
        self.selector: Selector | None = None
        """Answers SELECT; the composition root sets it where the catalog's driver has one."""
        self.read_command: ReadCommand = _no_language
        """Reads a command that the server keeps (schedules, scripts); the composition root sets it."""
        with database.read() as connection:
            self._last_ns = (
                connection.execute(select(actlog.c.at_ns).order_by(actlog.c.id.desc()).limit(1)).scalar() or 0
            )

    def now_ns(self) -> int:
        """Return the wall clock, strictly rising within this server: two commits never share a time."""
        with self._lock:
            self._last_ns = max(self._last_ns + 1, self._clock())
            return self._last_ns

    def next_session(self) -> int:
        """Return a new session number."""
        return next(self._sessions)

    def log(self, id: str, /, *, session: int = 0, process: int = 0, **values: object) -> str:
        """Write a message to the activity log and return its text."""
        text = messages.text(id, **values)
        self.log_text(text, session=session, process=process)
        return text

    def log_all(self, texts: list[str]) -> None:
        """Write many rendered messages to the activity log at once."""
        if texts:
            with self.database.write() as connection:
                rows = [{"at_ns": self.now_ns(), "message": text, "session": 0, "process": 0} for text in texts]
                connection.execute(insert(actlog), rows)

    def log_text(self, text: str, *, session: int = 0, process: int = 0) -> None:
        """Write a rendered message to the activity log."""
        self.log_texts([text], session=session, process=process)

    def log_texts(self, texts: Sequence[str], *, session: int = 0, process: int = 0) -> None:
        """Write rendered messages to the activity log, in one transaction."""
        if not texts:
            return
        with self.database.write() as connection:
            common = {"session": session, "process": process}
            connection.execute(insert(actlog), [{"at_ns": self.now_ns(), "message": text, **common} for text in texts])

    def media_of_class(self, name: str) -> Media:
        """Return the media of a device class. Raises ``Refused`` when the class is not defined."""
        with self._lock:
            if name not in self._media:
                with self.database.read() as connection:
                    row = connection.execute(select(devclasses).where(devclasses.c.name == name)).first()
                if row is None:
                    raise Refused(Refusal("not-found", f"device class {name} is not defined", "DEFINE DEVCLASS"))
                self._media[name] = self._make_media(row)
            return self._media[name]

    def _make_media(self, row: Any) -> Media:
        if row.type == DeviceType.SERVER.value:
            return self._drivers.remote(self, row.server, row.prefix)
        if row.type == DeviceType.S3.value:
            return self._drivers.objects(row)
        return self._drivers.files(Path(row.directory or "/"))

    def probe_objects(self, row: Any) -> None:
        """Look whether an S3 device class can be reached before it is defined. Raises what its medium raises."""
        self._drivers.objects(row).names()

    def disk_media(self) -> RandomMedia:
        """Return the media of DISK volumes, whose names are full paths."""
        return cast(RandomMedia, self.media_of_class(DISK))

    def forget_media(self, server: str = "") -> None:
        """Drop cached media, so that changed definitions (a new address, a new code) take effect."""
        with self._lock:
            cached, self._media = self._media, {}
        for media in cached.values():
            media.close()

    def file_media(self, directory: Path) -> Media:
        """Return media over a directory of this server."""
        return self._drivers.files(directory)

    def close(self) -> None:
        """Close media and catalog."""
        self.forget_media()
        self.claims.close()
        self.database.close()


def _no_language(text: str) -> AdminCommand:
    raise Refused(Refusal("invalid", f"no command language is set up to read {text!r}"))


def pool_row(connection: Connection, name: str) -> Any:
    """Return a pool's row. Raises ``Refused`` when there is none."""
    row = connection.execute(select(pools).where(pools.c.name == name)).first()
    if row is None:
        raise Refused(Refusal("not-found", f"storage pool {name} is not defined", "DEFINE STGPOOL"))
    return row


def setting(connection: Connection, name: str) -> str:
    """Return a server setting, or an empty text."""
    return str(connection.execute(select(settings.c.value).where(settings.c.name == name)).scalar() or "")


def set_setting(connection: Connection, name: str, value: str) -> None:
    """Write a server setting."""
    connection.execute(settings.delete().where(settings.c.name == name))
    connection.execute(insert(settings), {"name": name, "value": value})


def next_volume_number(connection: Connection, now_ns: int) -> int:
    """Return a volume number never used before: it follows the clock, so a restored database cannot reuse one."""
    number = max(int(setting(connection, "volume_number") or 0) + 1, now_ns // 1_000_000_000 % 1_000_000_000)
    set_setting(connection, "volume_number", str(number))
    return number


@contextmanager
def exclusive(core: Core, what: str, key: str = "inventory") -> Iterator[None]:
    """Run work that must not meet its like, by default what removes data. Raises ``Refused`` when it would."""
    if not core.claims.take(key):
        raise Refused(Refusal("in-use", f"{what}: another process holds the {key}", "try again later"))
    try:
        yield
    finally:
        core.claims.give(key)


def volume_by_name(connection: Connection, name: str) -> Any:
    """Return a volume's row, or None."""
    return connection.execute(select(volumes).where(volumes.c.name == name)).first()
