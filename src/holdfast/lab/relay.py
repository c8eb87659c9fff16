"""A line between two places of a lab without namespaces: passes bytes between two loopback addresses until it is cut.

    python -m holdfast.lab.relay LISTEN_HOST:PORT TARGET_HOST:PORT [...]

Cutting is killing the process: connections break and new ones find nobody, as when a line is dug up.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial

BLOCK_BYTES = 256 * 1024


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while block := await reader.read(BLOCK_BYTES):
            writer.write(block)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.close()


async def _relay(target: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        onward, back = await asyncio.open_connection(*target)
    except OSError:
        writer.transport.abort()
        return
    await asyncio.gather(_copy(reader, back), _copy(onward, writer))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def serve(pairs: list[tuple[str, str]]) -> None:
    """Relay every pair of (listen, target) addresses for ever."""
    servers = [
        await asyncio.start_server(partial(_relay, _address(target)), *_address(listen)) for listen, target in pairs
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    words = sys.argv[1:]
    asyncio.run(serve(list(zip(words[::2], words[1::2], strict=True))))
