"""The load of a drill: writes random records to the ledger for as long as it runs and keeps what was acknowledged.

    python -m holdfast.lab.load --address HOST:PORT[,HOST:PORT...] --out FILE --seed N --writers N --pause SECONDS

Each acknowledged record becomes one line of the output file: seconds on the machine's monotonic clock, then the record
in hex. A record whose outcome is unknown is sent again until it is acknowledged. The program stops by itself after
``--limit`` seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

ANSWER_TIMEOUT_S = 1.0
RETRY_PAUSE_S = 0.05


class Writer:
    """One client connection: sends a record, waits for the acknowledgement, notes it.

    Of several addresses it stays with the one that answers.
    """

    def __init__(self, addresses: Sequence[tuple[str, int]], seed: str, pause_s: float, out: TextIO) -> None:
        self._addresses, self._pause_s, self._out = itertools.cycle(addresses), pause_s, out
        self._random = random.Random(seed)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Write records for ever."""
        while True:
            record = self._random.randbytes(self._random.randint(16, 256)).hex()
            while not await self._append(record):
                await asyncio.sleep(RETRY_PAUSE_S)
            self._out.write(f"{time.monotonic():.6f} {record}\n")
            await asyncio.sleep(self._pause_s)

    async def _append(self, record: str) -> bool:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                if self._writer is None or self._reader is None:
                    self._reader, self._writer = await asyncio.open_connection(*next(self._addresses))
                self._writer.write(f"APPEND {record}\n".encode())
                if (await self._reader.readline()).startswith(b"OK "):
                    return True
        except (OSError, TimeoutError):
            self._drop()
            return False
        self._drop()
        return False

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


async def drive(arguments: argparse.Namespace, out: TextIO) -> None:
    """Run the writers until SIGTERM or the limit."""
    parts = [address.rpartition(":") for address in arguments.address.split(",")]
    addresses = [(host, int(port)) for host, _, port in parts]
    tasks = [
        asyncio.create_task(Writer(addresses, f"{arguments.seed}:{n}", arguments.pause, out).run())
        for n in range(arguments.writers)
    ]
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: [task.cancel() for task in tasks])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.wait(tasks, timeout=arguments.limit, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.05)
    parser.add_argument("--limit", type=float, default=600.0)
    arguments = parser.parse_args()
    with Path(arguments.out).open("w", buffering=1) as out:
        asyncio.run(drive(arguments, out))


if __name__ == "__main__":
    main()
