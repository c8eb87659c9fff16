"""Remote calls over gRPC with mutual TLS: the one transport between Holdfast processes (the mirror link excepted).

Messages are bytes; each domain encodes its own with msgspec. A method is a name with either one request and one reply
(*unary*) or a stream each way (*stream*). The server runs handlers in a bounded thread pool; a handler gets the
request and the name that the caller's certificate proves. Peers are checked by name, not by address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc

from holdfast.kernel.errors import Refusal, Refused, Unavailable
from holdfast.runtime.identity import Identity, host_label

SERVICE = "holdfast"
MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024
_OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.enable_http_proxy", 0),  # peers are reached directly; a proxy variable must not divert or delay a call
]

Unary = Callable[[bytes, str], bytes]
Stream = Callable[[Iterator[bytes], str], Iterable[bytes]]


class Incoming:
    """The requests of one stream, with a way to end it from outside: whoever waits for the next one is told at once."""

    def __init__(self, requests: Iterator[bytes], cancel: Callable[[], object]) -> None:
        self._requests, self._cancel = requests, cancel

    def __iter__(self) -> Incoming:
        return self

    def __next__(self) -> bytes:
        return next(self._requests)

    def cancel(self) -> None:
        """End the stream. Idempotent."""
        self._cancel()


@dataclass(frozen=True, slots=True)
class Methods:
    """What a server answers: method name → handler(request, caller's name)."""

    unary: Mapping[str, Unary] = field(default_factory=dict)
    stream: Mapping[str, Stream] = field(default_factory=dict)


class RpcServer:
    """Serves :class:`Methods` on ``address`` (``host:port``). A handler's ``Refused`` reaches the client as such."""

    def __init__(self, address: str, identity: Identity, methods: Methods, workers: int = 16) -> None:
        self._server = grpc.server(ThreadPoolExecutor(workers, thread_name_prefix="rpc"), options=_OPTIONS)
        handlers: dict[str, Any] = {}
        for name, unary in methods.unary.items():
            handlers[name] = grpc.unary_unary_rpc_method_handler(_guarded_unary(unary))
        for name, stream in methods.stream.items():
            handlers[name] = grpc.stream_stream_rpc_method_handler(_guarded_stream(stream))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        credentials = grpc.ssl_server_credentials(
            [(identity.key, identity.cert)], root_certificates=identity.ca, require_client_auth=True
        )
        try:
            self.port: int = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise Unavailable(f"cannot listen on {address}", "is the address in use?") from error

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self, grace_s: float = 0.5) -> None:
        """Stop answering; calls under way get ``grace_s`` seconds."""
        self._server.stop(grace_s).wait()


class RpcClient:
    """Calls methods of the server called ``peer`` at ``address``. Usable from several threads. Close it when done."""

    def __init__(self, address: str, peer: str, identity: Identity) -> None:
        credentials = grpc.ssl_channel_credentials(identity.ca, identity.key, identity.cert)
        options = [*_OPTIONS, ("grpc.ssl_target_name_override", host_label(peer)), ("grpc.enable_retries", 0)]
        self.address, self.peer = address, peer
        self._channel = grpc.secure_channel(address, credentials, options=options)

    def call(self, method: str, request: bytes, timeout_s: float = 30.0) -> bytes:
        """Send one request, return the reply. Raises ``Unavailable`` or the handler's ``Refused``."""
        try:
            reply = self._channel.unary_unary(f"/{SERVICE}/{method}")(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise self._explain(error) from error
        assert isinstance(reply, bytes)
        return reply

    def stream(self, method: str, requests: Iterable[bytes], timeout_s: float | None = None) -> Iterator[bytes]:
        """Send a stream of requests, yield the replies as they come."""
        try:
            yield from self._channel.stream_stream(f"/{SERVICE}/{method}")(iter(requests), timeout=timeout_s)
        except grpc.RpcError as error:
            raise self._explain(error) from error

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._channel.close()

    def _explain(self, error: Any) -> Exception:
        code = error.code()
        if code is grpc.StatusCode.FAILED_PRECONDITION:
            return Refused(_decode(error.details() or ""))
        return Unavailable(f"{self.peer} at {self.address}: {code.name.lower()}: {error.details()}")


def _guarded_unary(handler: Unary) -> Callable[[bytes, Any], bytes]:
    def run(request: bytes, context: Any) -> bytes:
        try:
            return handler(request, _caller(context))
        except Refused as refused:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, _encode(refused.refusal))
            raise

    return run


def _guarded_stream(handler: Stream) -> Callable[[Iterator[bytes], Any], Iterator[bytes]]:
    def run(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        try:
            yield from handler(Incoming(requests, context.cancel), _caller(context))
        except Refused as refused:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, _encode(refused.refusal))

    return run


def _caller(context: Any) -> str:
    names = context.auth_context().get("x509_common_name") or [b""]
    return str(names[0].decode())


_SEPARATOR = "\x1f"


def _encode(refusal: Refusal) -> str:
    return _SEPARATOR.join((refusal.code, refusal.reason, refusal.remedy))


def _decode(text: str) -> Refusal:
    code, reason, remedy = [*text.split(_SEPARATOR), "", "", ""][:3]
    return Refusal(code, reason, remedy) if reason else Refusal("refused", text)
