"""The server's own watch: thresholds of pools, volumes whose delay is over, the daily expiration, the journal.

One thread of the running server. It looks when something changed, and every minute besides, and starts what is due as
an ordinary process, through the same door as an administrator; so what it does is listed, logged and can be cancelled.
What failed is tried again a minute later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sqlalchemy import select

from holdfast.backup.plan import migration
from holdfast.backup.service.admin.database import trigger_due
from holdfast.backup.service.admin.reply import Args, Reply
from holdfast.backup.service.catalog.schema import pools
from holdfast.backup.service.core import Core, set_setting, setting
from holdfast.backup.service.journal import save_config
from holdfast.backup.service.migrate import load_of
from holdfast.backup.service.reclaim import forget_dead, reclaimable
from holdfast.backup.service.snapshot import take_snapshot, worth_a_snapshot
from holdfast.backup.service.volumes import release_empty
from holdfast.kernel.errors import HoldfastError

Perform = Callable[[Core, str, Args], Reply]
"""Carries out an operation by name, as an administrator's command would."""
EXPIRE_INTERVAL = "expire_interval_h"
_LAST_EXPIRED = "expired_ns"
_HOUR_NS = 3_600 * 10**9
_LOOK_S = 60.0
_TICK_S = 0.5


class Watch:
    """Watches one server. ``start`` and ``stop`` it; ``look`` is one round."""

    def __init__(self, core: Core, perform: Perform) -> None:
        self._core, self._perform = core, perform
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._not_before: dict[str, float] = {}

    def start(self) -> None:
        """Begin to watch."""
        self._core.sparse.set()
        self._thread.start()

    def stop(self) -> None:
        """End the watch and cancel what runs; waits for the round under way, and saves the configuration at last."""
        self._ended.set()
        for process in self._core.processes.running():
            process.cancel()
        self._thread.join(30.0)
        try:
            save_config(self._core)
        except HoldfastError as error:
            self._core.log_text(f"ANR2103E the configuration was not written to a volume: {error.message}")

    def _run(self) -> None:
        last = 0.0
        while not self._ended.wait(_TICK_S):
            due = time.monotonic() - last >= _LOOK_S
            if not (due or self._core.changed.is_set() or self._core.sparse.is_set()):
                continue
            last = time.monotonic()
            try:
                if self._core.claims.take("watch"):
                    try:
                        self.look()
                    finally:
                        self._core.claims.give("watch")
            except HoldfastError as error:
                self._core.log_text(f"ANR2103E the watch over storage: {error.message}")

    def look(self) -> None:
        """Start everything that is due now."""
        core = self._core
        core.changed.clear()
        save_config(core)
        self._expire()
        self._database()
        self._migrate()
        if core.sparse.is_set():
            core.sparse.clear()
            forget_dead(core)
            for filespace in worth_a_snapshot(core):
                take_snapshot(core, filespace)
            for pool in reclaimable(core):
                self._try(f"reclaim {pool}", "reclaim stgpool", {"name": pool, "wait": "YES"})
        release_empty(core)

    def _database(self) -> None:
        found = trigger_due(self._core)
        if found is not None:
            args = {"devclass": found.devclass, "type": "FULL" if found.full else "INCREMENTAL", "wait": "YES"}
            self._try("database backup", "backup db", args)

    def _migrate(self) -> None:
        with self._core.database.read() as connection:
            rows = connection.execute(select(pools).where(pools.c.next_pool != "", pools.c.highmig < 100)).all()
            due = [row.name for row in rows if migration.due(load_of(connection, row))]
        for pool in due:
            self._try(f"migrate {pool}", "migrate stgpool", {"name": pool, "wait": "YES"})

    def _expire(self) -> None:
        core = self._core
        with core.database.read() as connection:
            hours = int(setting(connection, EXPIRE_INTERVAL) or 24)
            last = int(setting(connection, _LAST_EXPIRED) or 0)
        now = core.now_ns()
        if last and (not hours or now - last < hours * _HOUR_NS):
            return
        with core.database.write() as connection:
            set_setting(connection, _LAST_EXPIRED, str(now))
        if last:
            self._try("expire", "expire inventory", {"wait": "YES"})

    def _try(self, key: str, operation: str, args: Args) -> None:
        now = time.monotonic()
        if self._ended.is_set() or self._not_before.get(key, 0.0) > now:
            return
        reply = self._perform(self._core, operation, args)
        if reply.code:
            self._not_before[key] = now + _LOOK_S
