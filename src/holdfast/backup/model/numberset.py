"""A set of small whole numbers, a bit for each up to the largest: what a session has been told of, in little memory.

Numbers of chunks and groups are handed out in order, so ten million of them take little more than a megabyte.
"""

from __future__ import annotations

from collections.abc import Iterable

_LIMIT = 2**33
"""Larger numbers are in no set: a number that a client makes up must not cost memory."""


class NumberSet:
    """A set of whole numbers from 0."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, numbers: Iterable[int]) -> None:
        """Take numbers in."""
        bits = self._bits
        for number in numbers:
            at = number >> 3
            if at >= len(bits):
                assert number < _LIMIT, "the numbers of this server are not that large"
                bits.extend(bytes(at + 1 - len(bits) + (len(bits) >> 2)))
            bits[at] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return 0 <= at < len(self._bits) and bool(self._bits[at] & 1 << (number & 7))
