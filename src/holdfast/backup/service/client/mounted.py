"""A filespace as it was at one point in time, asked for place by place: what a mount shows.

Directories are listed when they are first looked at and kept for a while; a point in time does not change, so nothing
kept is ever wrong. A session that broke is opened again once for what was asked, and otherwise fails it with EIO.
Errors are ``OSError``, as a file system's are.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from holdfast.backup.model.objects import Extra, Kind, Stat
from holdfast.backup.service.client.contents import Contents
from holdfast.backup.service.client.restore import Selection, list_versions
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import HoldfastError, Refused, Unavailable

_DIRECTORIES = 2_000
_ENTRIES = 500_000
"""Directories and entries in them that are kept at most; the directory looked at last always is."""
_T = TypeVar("_T")
_Listing = dict[bytes, m.StoredVersion]
_BARE = Stat(0o040555, 0, 0, 0, 0, 0, 1, 1)
"""A directory on the way to something that is kept, of which nothing is kept itself."""


class PointInTime:
    """One filespace at ``at_ns``; usable from several threads. ``open_session`` opens a session with its server."""

    def __init__(self, open_session: Callable[[], Session], filespace: str, at_ns: int) -> None:
        self._open_session, self._filespace, self.at_ns = open_session, filespace, at_ns
        self._lock = threading.RLock()
        self._session: Session | None = None
        self._contents: Contents | None = None
        self._listings: OrderedDict[bytes, _Listing] = OrderedDict()
        self._entries = 0
        self._told: set[bytes] = set()
        """Directories that the present session has listed: content is given only to a session that was told of it."""
        self._root = m.StoredVersion(0, b"", Kind.DIRECTORY, _BARE, Extra(), "", 0, None, ())

    def look(self, key: bytes) -> m.StoredVersion:
        """Return what stood at ``key``. Raises OSError (ENOENT, EIO)."""
        if not key:
            self.listing(b"")
            return self._root
        above, _, name = key.rpartition(b"\0")
        found = self.listing(above).get(name)
        if found is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return found

    def listing(self, key: bytes) -> _Listing:
        """Return what lay directly in the directory at ``key``, by name."""
        with self._lock:
            known = self._listings.get(key)
            if known is not None:
                self._listings.move_to_end(key)
                return known
        found = self._asked(lambda session: self._listed(session, key))
        with self._lock:
            if key not in self._listings:
                self._listings[key] = found
                self._entries += len(found)
            while len(self._listings) > 1 and (len(self._listings) > _DIRECTORIES or self._entries > _ENTRIES):
                self._entries -= len(self._listings.popitem(last=False)[1])
        return found

    def _listed(self, session: Session, key: bytes) -> _Listing:
        chosen = Selection(self._filespace, key, self.at_ns, shallow=True)
        found: _Listing = {}
        self._told.add(key)
        start = len(key) + 1 if key else 0
        for version in list_versions(session, chosen):
            if version.key == key:
                if not key:
                    self._root = version
                continue
            found[version.key[start:]] = version
        return found

    def read(self, version: m.StoredVersion, offset: int, length: int) -> bytes:
        """Return bytes of a file. Raises OSError (EIO) when its data cannot be read at the server."""

        def ask(session: Session) -> bytes:
            with self._lock:
                if self._contents is None:
                    self._contents = Contents(session)
                contents = self._contents
            above = version.key.rpartition(b"\0")[0]
            if above not in self._told:
                self._listed(session, above)
            return contents.read(version, offset, length)

        return self._asked(ask)

    def _asked(self, ask: Callable[[Session], _T]) -> _T:
        for again in (True, False):
            try:
                return ask(self._opened())
            except Unavailable as error:
                self._drop()
                if not again:
                    raise OSError(errno.EIO, error.message) from error
            except Refused as refused:
                raise OSError(errno.ENOENT, refused.message) from refused
            except HoldfastError as error:
                raise OSError(errno.EIO, error.message) from error
        raise AssertionError("the second try returns or raises")

    def _opened(self) -> Session:
        with self._lock:
            if self._session is None:
                self._session = self._open_session()
            return self._session

    def _drop(self) -> None:
        with self._lock:
            broken, self._session, self._contents = self._session, None, None
            self._told = set()
        if broken is not None:
            broken.close(orderly=False)

    def close(self) -> None:
        """End the session."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None
