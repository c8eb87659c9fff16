"""The store port: what the rest of Holdfast may expect of replicated state, whichever driver keeps it.

Every driver passes ``tests/conformance/test_store.py``. The promises:

* one linear history: each transaction that changes something gets a revision above all before it, and a read shows
  one revision whole;
* a transaction commits only if each :class:`Compare` holds, all or nothing; of several writes of one key the last
  counts, and a driver may leave out the others, also from what a watch shows;
* a lease that is not renewed within its time to live takes its keys with it, later as the driver rounds up: etcd to
  whole seconds, to its own minimum (1.5 election timeouts, 2 s by default), and after a change of its leader by another
  time to live. It can also end early (an etcd leader that wakes from a pause revokes leases that its successor has
  renewed: etcd issue 15247), so a put on a lease that is gone is a :class:`Conflict` to be looked at. Leases
  are for cleaning up only: a system's life is judged by the observer's own clock over the renewals it saw, never by the
  store's lease timer;
* a watch shows every commit after a revision once, in order, or fails with
  :class:`~holdfast.kernel.errors.Unavailable`.

Keys are ``/``-separated text, values are bytes. A call that raises ``Unavailable`` may or may not have taken effect.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's value, the revision of its last change, and the lease it hangs on (0 for none)."""

    value: bytes
    revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every key under a prefix at one revision."""

    revision: int
    entries: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Compare:
    """A condition on one key: its last-change revision equals ``revision`` (0: the key must not exist)."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """Set ``key`` to ``value``; with ``lease`` the key goes when the lease does."""

    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove ``key``; nothing happens if it is not there."""

    key: str


Write = Put | Delete


@dataclass(frozen=True, slots=True)
class Committed:
    """The transaction took effect as ``revision``."""

    revision: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """A compare failed; nothing changed. ``key`` is the first that failed, ``revision`` what it has now (0: absent)."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """One key changed at ``revision``; ``value`` is None when it was deleted."""

    key: str
    value: bytes | None
    revision: int


class Store(Protocol):
    """Replicated state. Every call may raise :class:`~holdfast.kernel.errors.Unavailable`."""

    async def read(self, prefix: str) -> Snapshot:
        """Return every key that starts with ``prefix`` at one revision, linearizably."""

    async def transact(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Committed | Conflict:
        """Apply ``writes`` in one commit if every compare holds.

        Raises :class:`~holdfast.kernel.errors.Refused` when a driver cannot take so many operations or bytes at once;
        128 operations and 1 MiB in all can be had of every driver. Nothing was changed then.
        """

    async def grant(self, ttl_s: float) -> int:
        """Open a lease that lives ``ttl_s`` seconds past its last renewal; return its id (never 0)."""

    async def renew(self, lease: int) -> bool:
        """Renew the lease; False when it has lapsed and its keys are gone."""

    async def revoke(self, lease: int) -> None:
        """End the lease and delete its keys."""

    def watch(self, prefix: str, after_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        """Yield each later commit's changes under ``prefix``, in order, within 50 ms on one machine."""

    async def close(self) -> None:
        """Release what the driver holds. Idempotent."""
