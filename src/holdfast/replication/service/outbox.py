"""What is to be sent on a connection: small replies together, long reads slice by slice.

The transport copies whatever it cannot send at once, so it is never given much more than that; the bytes of a long read
are fetched only when they can go, into memory that is used again and again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

SLICE_BYTES = 256 * 1024
TOGETHER_BYTES = 64 * 1024


@dataclass(slots=True)
class Tail:
    """What is left to be sent of a long read."""

    offset: int
    left: int


class Outbox:
    """``fetch`` fills memory with a volume's bytes from an offset on; ``scratch`` is that memory. What ``fetch`` raises
    comes out of :meth:`send`: the head of that reply is gone by then, so the connection must end."""

    def __init__(self, fetch: Callable[[int, memoryview], None], scratch: memoryview) -> None:
        self._fetch, self._scratch = fetch, scratch
        self._parts: deque[bytes | Tail] = deque()
        self.choked = False
        """The other side takes its replies more slowly than they come."""

    def __len__(self) -> int:
        return len(self._parts)

    def put(self, *parts: bytes | Tail) -> None:
        """Add what belongs together."""
        self._parts.extend(parts)

    def clear(self) -> None:
        """Nobody is there any more."""
        self._parts.clear()

    def send(self, transport: asyncio.Transport) -> None:
        """Give the transport as much as it takes."""
        parts = self._parts
        while parts and not self.choked:
            first = parts.popleft()
            if isinstance(first, Tail):
                self._slice(transport, first)
                continue
            size, together = len(first), [first]
            while parts and size < TOGETHER_BYTES:
                following = parts[0]
                if isinstance(following, Tail):
                    break
                together.append(following)
                size += len(following)
                parts.popleft()
            transport.write(first if len(together) == 1 else b"".join(together))

    def _slice(self, transport: asyncio.Transport, tail: Tail) -> None:
        view = self._scratch[: min(tail.left, SLICE_BYTES)]
        self._fetch(tail.offset, view)
        tail.offset += len(view)
        tail.left -= len(view)
        if tail.left:
            self._parts.appendleft(tail)
        transport.write(view)
