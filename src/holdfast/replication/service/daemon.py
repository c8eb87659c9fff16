"""``holdfast array serve``: one software array as a process.

Start: open the files (recovering what a kill left), listen for peers, hosts and management, dial the peers, read the
pair records. Every listener is up before ``ready`` is said; whether a volume takes writes is then a matter of its
pair's record. Stop (SIGTERM): stop listening, flush, close. A kill at any point is the same to the data.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.sizes import TRACK_BYTES
from holdfast.replication.ports import Witness
from holdfast.replication.service.config import ArrayConfig
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.hostio import HostIO
from holdfast.replication.service.link import OutLink
from holdfast.replication.service.longbusy import LongBusy
from holdfast.replication.service.management import Management
from holdfast.replication.service.media import Media
from holdfast.replication.service.mirror import Mirror
from holdfast.replication.service.mirrorserver import MirrorServer
from holdfast.replication.service.nbdserver import NbdServer
from holdfast.replication.service.users import Users
from holdfast.runtime.identity import Identity, server_context
from holdfast.runtime.rpc import RpcServer

_LOG = structlog.get_logger("holdfast.replication.array")
_COPY_RETRY_S = 5.0


class Daemon:
    """The parts of one array, wired; ``witness`` says who is source."""

    def __init__(self, config: ArrayConfig, witness: Witness) -> None:
        self._config, self._witness = config, witness
        self._tasks: set[asyncio.Task[Any]] = set()
        self._servers: list[asyncio.Server] = []
        self._copying = asyncio.Lock()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.engine = Engine(Media(config.directory), config.storage_image, config.features)
        links = {
            peer: OutLink(config.storage_image, peer, address, config.identity)
            for peer, address in config.peers.items()
        }
        busy = LongBusy(config.long_busy_s)
        self.mirror = Mirror(self.engine, links, witness, self.spawn, busy)
        self.hostio = HostIO(self.engine, self.mirror, busy)
        tls = None if config.nbd_tls == "off" else server_context(config.identity)
        self.nbd = NbdServer(self.engine, self.hostio, tls, requires_tls=config.nbd_tls == "require")
        self.management = Management(self.engine, self.mirror, self.nbd, Users(config.users), config)
        self.management.flashing.start_copy = self._start_copy
        self._rpc: RpcServer | None = None

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run background work; a failure stops the array, because an array that half works is worse than none."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def start(self) -> None:
        """Listen, dial, settle."""
        tls = server_context(self._config.identity)
        mirror_server = MirrorServer(self.mirror, self.spawn)
        loop = asyncio.get_running_loop()
        await self._listen(self._config.mirror, mirror_server.session, tls)
        await self._listen(self._config.nbd, self.nbd.session, None)
        identity = Identity.load(self._config.identity)
        self._rpc = RpcServer(self._config.management, identity, self.management.methods(loop))
        self._rpc.start()
        self.mirror.start()
        for link in self.mirror.links.values():
            self.spawn(link.run())
        self.spawn(self.hostio.cool())
        for target, flash in self.engine.image.flashes.items():
            if flash.options.background_copy:
                self._start_copy(target)

    async def _listen(
        self, address: str, session: Callable[[], asyncio.BaseProtocol], tls: ssl.SSLContext | None
    ) -> None:
        host, _, port = address.rpartition(":")
        try:
            self._servers.append(await asyncio.get_running_loop().create_server(session, host, int(port), ssl=tls))
        except OSError as error:
            raise HoldfastError(f"cannot listen on {address}: {error.strerror}", "is the address in use?") from error

    def _start_copy(self, target: str) -> None:
        self.mirror.once(f"flash {target}", lambda: self._copy(target))

    async def _copy(self, target: str) -> None:
        """Copy in the background, no faster than the configuration allows for all copies together."""
        rate = self._config.flash_copy_rate
        while (flash := self.engine.image.flashes.get(target)) and flash.options.background_copy:
            try:
                copied, left = self.engine.copy_some(target)
            except OSError as error:
                _LOG.error("background copy waits", target=target, error=str(error))
                await asyncio.sleep(_COPY_RETRY_S)
                continue
            if not left:
                return
            async with self._copying:
                await asyncio.sleep(copied * TRACK_BYTES / rate if rate else 0.001)

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT, or until background work fails."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await self.start()
        ready()
        _LOG.info("array serves", image=self._config.storage_image)
        self._failed.add_done_callback(lambda _: stop.set())
        try:
            await stop.wait()
            if self._failed.done():
                self._failed.result()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Stop serving and close the files."""
        if self._rpc is not None:
            await asyncio.to_thread(self._rpc.stop)
        for server in self._servers:
            server.close()
        await self.nbd.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.engine.close()
        await self._witness.close()
