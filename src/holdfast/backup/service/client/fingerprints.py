"""A set of chunk names in eight bytes each: what a run has seen, for trees of any size.

Only the first 64 bits of a name are kept, in an open table that doubles when it is 60 % full: a million chunks take
32 MiB at most, where a set of names would take four times as much. Two names that agree in 64 bits (one pair in
2 * 10**7 runs of a million chunks) would make the server miss a chunk: it refuses the commit, so nothing is lost.
"""

from __future__ import annotations

from array import array

_FIRST_BITS = 12
_FULL = 0.6


class Fingerprints:
    """Grows; never forgets."""

    def __init__(self) -> None:
        self._bits, self._count = _FIRST_BITS, 0
        self._table = array("Q", bytes(8 << _FIRST_BITS))

    def __len__(self) -> int:
        return self._count

    def add(self, name: bytes) -> bool:
        """Take a name of at least 8 bytes; return whether it was not there."""
        print_ = int.from_bytes(name[:8], "little") or 1
        if not self._put(print_):
            return False
        self._count += 1
        if self._count > _FULL * (1 << self._bits):
            self._grow()
        return True

    def _put(self, print_: int) -> bool:
        table, mask = self._table, (1 << self._bits) - 1
        at = print_ & mask
        while found := table[at]:
            if found == print_:
                return False
            at = (at + 1) & mask
        table[at] = print_
        return True

    def _grow(self) -> None:
        old, self._bits = self._table, self._bits + 1
        self._table = array("Q", bytes(8 << self._bits))
        for print_ in old:
            if print_:
                self._put(print_)
