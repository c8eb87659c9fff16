"""A request on its way to the peer: its answer comes, or the link goes down first.

Lighter than a future of the event loop, because each mirrored write has one: who wants to know is called at once, from
where the answer is read. It can be awaited all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator

from holdfast.replication.service.frames import LinkLost, Reply

Then = Callable[[Reply | None], None]
"""Is called with the answer, or with None when the link is gone and nobody knows."""


class Sent:
    """``deadline`` (seconds of the loop's clock) is when the peer counts as silent; ``cost_bytes`` is what stays in
    flight until then."""

    __slots__ = ("_over", "_reply", "_then", "cost_bytes", "deadline")

    def __init__(self, deadline: float = 0.0, cost_bytes: int = 0) -> None:
        self.deadline, self.cost_bytes = deadline, cost_bytes
        self._over = False
        self._reply: Reply | None = None
        self._then: list[Then] = []

    def then(self, call: Then) -> None:
        """Call when it is over; at once when it is already."""
        if self._over:
            call(self._reply)
        else:
            self._then.append(call)

    def settle(self, reply: Reply | None) -> None:
        """It is over, once and for all."""
        self._over, self._reply = True, reply
        for call in self._then:
            call(reply)
        self._then.clear()

    def __await__(self) -> Generator[None, None, Reply]:
        """Wait for the answer. Raises :class:`LinkLost`."""
        over = asyncio.Event()
        self.then(lambda _: over.set())
        yield from over.wait().__await__()
        if self._reply is None:
            raise LinkLost("the link to the peer was lost")
        return self._reply
