"""An open session as its client holds it: requests with answers, one-way messages, bounded in both directions.

Any thread may send. Sending blocks when four messages wait, so a slow server slows its client instead of filling
memory. When the session breaks, everyone who waits is told why.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from holdfast.backup.session import messages as m
from holdfast.backup.session.proof import prove
from holdfast.kernel.errors import HoldfastError, Refusal, Refused, Unavailable
from holdfast.runtime.rpc import RpcClient

_QUEUED = 4
_ANSWER_TIMEOUT_S = 600.0


def answer(asked: Future[m.Message]) -> m.Message:
    """Wait for a reply. Raises ``Refused`` when the server answered so, or what broke the session."""
    reply = asked.result(_ANSWER_TIMEOUT_S)
    if isinstance(reply, m.Failed):
        raise Refused(Refusal(reply.code, reply.reason, reply.remedy))
    return reply


class Session:
    """A signed-on session. Use as a context manager: leaving it signs off."""

    def __init__(self, client: RpcClient, method: str, request: m.SignOn, password: bytes) -> None:
        self._client = client
        self.node = request.name.upper()
        self._outgoing: queue.Queue[bytes | None] = queue.Queue(_QUEUED)
        self._waiting: dict[int, Future[m.Message]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._closed = False
        replies = client.stream(method, self._requests())
        self.welcome = self._sign_on(replies, request, password)
        self._reader = threading.Thread(target=self._read, args=(replies,), name="session-reader", daemon=True)
        self._reader.start()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(orderly=kind is None)

    def ask(self, make: Callable[[int], m.Message]) -> Future[m.Message]:
        """Send the request that ``make(seq)`` returns; the future gets the reply, or raises what broke."""
        future: Future[m.Message] = Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = future
        self.send(make(number))
        return future

    def call(self, make: Callable[[int], m.Message]) -> m.Message:
        """Send a request and wait for its reply. Raises ``Refused`` when the server answered so."""
        return answer(self.ask(make))

    def send(self, message: m.Message) -> None:
        """Send a message that wants no answer."""
        data = m.encode(message)
        while True:
            if self._error is not None:
                raise self._error
            try:
                return self._outgoing.put(data, timeout=0.5)
            except queue.Full:
                continue

    def close(self, orderly: bool = True) -> None:
        """Sign off, or (``orderly`` False) just drop the connection: nothing uncommitted counts. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if orderly and self._error is None:
            self.send(m.SignOff())
            self._outgoing.put(None)
            self._reader.join(30.0)
        else:
            with contextlib.suppress(queue.Full):
                self._outgoing.put_nowait(None)
        self._client.close()

    def _requests(self) -> Iterator[bytes]:
        while (data := self._outgoing.get()) is not None:
            yield data

    def _sign_on(self, replies: Iterator[bytes], request: m.SignOn, password: bytes) -> m.Welcome:
        try:
            self._outgoing.put(m.encode(request))
            challenge = m.decode(next(replies))
            assert isinstance(challenge, m.Challenge)
            name = request.name.upper()
            self._outgoing.put(m.encode(m.Proof(prove(password, challenge.salt, challenge.nonce, name))))
            welcome = m.decode(next(replies))
        except (HoldfastError, StopIteration) as error:
            self._outgoing.put(None)
            self._client.close()
            if isinstance(error, HoldfastError):
                raise
            raise Unavailable("the server ended the session during sign-on") from error
        assert isinstance(welcome, m.Welcome)
        return welcome

    def _read(self, replies: Iterator[bytes]) -> None:
        error: Exception = Unavailable("ANS1029E communication with the server was lost")
        try:
            for data in replies:
                message = m.decode(data)
                with self._lock:
                    future = self._waiting.pop(getattr(message, "seq", 0), None)
                if future is not None:
                    future.set_result(message)
        except HoldfastError as failure:
            error = failure
        with self._lock:
            self._error = error
            left, self._waiting = list(self._waiting.values()), {}
        for future in left:
            future.set_exception(error)
