"""Who belongs to an etcd cluster, and how a member is added and removed: for setting a cluster up, not for its store.

A new member is added as a learner, which has no vote, so nothing depends on it before it is there; it is promoted once
it has caught up. Every function may be asked twice: what is done already is found and kept. Blocking calls with one
limit each; a command makes a handful of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from holdfast.kernel.errors import Refusal, Refused, Unavailable
from holdfast.store.drivers import etcd_wire as wire
from holdfast.store.drivers.etcd_members import Tls

_CALL_LIMIT_S = 5.0
_PAUSE_S = 0.2
REMOVE_LIMIT_S = 15.0


class EtcdCluster:
    """Asks the members at ``addresses`` in turn; ``tls`` as for the store."""

    def __init__(self, addresses: Sequence[str], tls: Tls) -> None:
        self._addresses, self._tls = tuple(addresses), tls

    def members(self) -> tuple[wire.EtcdMember, ...]:
        """Return every member. Raises ``Unavailable`` when none answers."""
        return wire.members_answer(self._ask(wire.MEMBER_LIST, b""))

    def await_answer(self, limit_s: float) -> None:
        """Wait until one of the members answers a linearizable read. Raises ``Unavailable`` at the limit."""
        _repeated(lambda: self._ask(wire.RANGE, wire.range_request(b"\0", limit=1)), limit_s)

    def add(self, peer_url: str, limit_s: float) -> None:
        """Add a learner at ``peer_url`` unless there is a member. Raises ``Refused`` while another one learns.

        A member that has come just now must be seen for five seconds before etcd takes the next: that is waited for.
        """

        def try_it() -> None:
            if not any(member.peer_url == peer_url for member in self.members()):
                self._ask(wire.MEMBER_ADD, wire.blob(1, peer_url.encode()) + wire.number(2, 1))

        _repeated(try_it, limit_s)

    def promote(self, peer_url: str, limit_s: float) -> None:
        """Give the member at ``peer_url`` its vote as soon as it has caught up."""

        def try_it() -> None:
            found = next((member for member in self.members() if member.peer_url == peer_url), None)
            if found is None:
                raise Unavailable(f"{peer_url} is no member", "join again: holdfast cluster join")
            if found.learner:
                self._ask(wire.MEMBER_PROMOTE, wire.number(1, found.id))

        _repeated(try_it, limit_s)

    def remove(self, peer_url: str, limit_s: float = REMOVE_LIMIT_S) -> None:
        """Remove the member at ``peer_url``, if there is one.

        etcd refuses while a member has been connected to the others for less than five seconds, as it does where one
        has just joined: that passes, so it is asked again for ``limit_s`` seconds.
        """

        def try_it() -> None:
            for member in self.members():
                if member.peer_url == peer_url:
                    self._ask(wire.MEMBER_REMOVE, wire.number(1, member.id))

        _repeated(try_it, limit_s)

    def _ask(self, method: str, request: bytes) -> bytes:
        credentials = grpc.ssl_channel_credentials(self._tls.ca, self._tls.key, self._tls.cert)
        options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        if self._tls.peer:
            options.append(("grpc.ssl_target_name_override", self._tls.peer))
        said = ""
        for address in self._addresses:
            with grpc.secure_channel(address, credentials, options) as channel:
                try:
                    answer: bytes = channel.unary_unary(method)(request, timeout=_CALL_LIMIT_S)
                except grpc.RpcError as error:
                    text = str(error.details())
                    if "too many learner" in text:
                        raise _busy(text) from error
                    said = f"{address}: {text}"
                else:
                    return answer
        raise Unavailable(f"etcd does not do it: {said}", "see that a majority of its members runs")


def _repeated(try_it: Callable[[], object], limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while True:
        try:
            try_it()
        except Unavailable:
            if time.monotonic() > end:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _busy(text: str) -> Refused:
    return Refused(Refusal("join-busy", f"etcd: {text}", "let the system that is joining finish, then try again"))
