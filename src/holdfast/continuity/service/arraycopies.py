"""The copies of an array behind the port of point-in-time copies: dscli makes them, the array's own management tells
what only it knows (counters, digests, who has a volume open)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from holdfast.kernel.errors import Refusal, Refused
from holdfast.replication.drivers.ds8000 import Ds8000, Request
from holdfast.replication.ports import FlashAbilities, FlashRelation, Pair

Rows = Callable[[], Sequence[Mapping[str, object]]]
Digest = Callable[[list[str]], Sequence[Mapping[str, str]]]


class ArrayCopies:
    """``counters`` and ``connections`` bring the array's rows of flash copies and of open exports, ``digest`` those of
    volumes."""

    abilities = FlashAbilities(together=True, reverse=False, independent=True)

    def __init__(self, dscli: Ds8000, counters: Rows, connections: Rows, digest: Digest) -> None:
        self._dscli, self._counters, self._connections, self._digest = dscli, counters, connections, digest

    def relations(self, pairs: Sequence[Pair]) -> dict[Pair, FlashRelation]:
        """Return the copies among these pairs that exist."""
        counted = {str(row["id"]): row for row in self._counters()}
        found = {}
        for row in self._dscli.flashes([":".join(pair) for pair in pairs]).values():
            source, _, target = row["ID"].rpartition("/")[2].partition(":")
            numbers = counted.get(f"{source}:{target}", {})
            found[source, target] = FlashRelation(
                source, target, row["DateSynced"],
                row["Recording"] == "Enabled", row["Persistent"] == "Enabled",
                *(int(str(numbers.get(name, 0))) for name in ("tracks_total", "tracks_copied", "out_of_sync_tracks")),
            )  # fmt: skip
        return found

    def make(self, pairs: Sequence[Pair], *, quiet: bool = False) -> None:
        """``mkflash``: one command, so that all get one point in time."""
        self._change("mkflash", pairs, "-persist", "-record", "-cp")

    def resync(self, pairs: Sequence[Pair], *, quiet: bool = False) -> None:
        """``resyncflash``: one command, so that all get one point in time."""
        self._change("resyncflash", pairs, "-persist", "-record", "-cp")

    def reverse(self, pairs: Sequence[Pair]) -> None:
        """Not done from here. Refuses."""
        raise Refused(Refusal("no-ability", "an array's copies are not reversed from here", "dscli reverseflash"))

    def remove(self, pairs: Sequence[Pair]) -> None:
        """``rmflash``."""
        self._change("rmflash", pairs)

    def users(self, targets: Sequence[str]) -> Mapping[str, str]:
        """Return the targets that a host has open."""
        exports = [str(row["export"]).rpartition("/") for row in self._connections()]
        return {volume: host for host, _, volume in exports if volume in targets}

    def digests(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return a digest of the bytes of volumes (software array only)."""
        return {row["id"]: row["blake3"] for row in self._digest(list(names))}

    def _change(self, verb: str, pairs: Sequence[Pair], *options: str) -> None:
        named = tuple(":".join(pair) for pair in pairs)
        self._dscli.change(Request(verb, self._dscli.dev, named, options=options))
