"""Bitmaps in chunks over a base behave as plain sets, across chunk borders, files and the wire."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.replication.array.bitmap import CHUNK_BITS, Bitmap
from holdfast.replication.service.frames import pack_bits, unpack_bits

SIZES = st.sampled_from([1, 7, 8, 9, CHUNK_BITS - 1, CHUNK_BITS, CHUNK_BITS + 1, 3 * CHUNK_BITS + 5])
PLACES = st.one_of(
    st.integers(0, 3 * CHUNK_BITS + 4),
    st.sampled_from([0, 7, 8, CHUNK_BITS - 1, CHUNK_BITS, 2 * CHUNK_BITS - 1, 2 * CHUNK_BITS, 3 * CHUNK_BITS + 4]),
)
CHANGES = st.lists(st.tuples(st.booleans(), PLACES), max_size=60)


def build(size: int, base: bool, changes: list[tuple[bool, int]]) -> tuple[Bitmap, set[int]]:
    """Return a bitmap and the same bits as a set."""
    bits, model = Bitmap(size, base=base), set(range(size)) if base else set[int]()
    for sets, place in changes:
        if place >= size:
            continue
        if sets:
            assert bits.set(place) is (place not in model)
            model.add(place)
        else:
            assert bits.clear(place) is (place in model)
            model.discard(place)
    return bits, model


def same(bits: Bitmap, model: set[int]) -> None:
    """The bitmap shows just the bits of the set, whichever way it is asked."""
    assert len(bits) == len(model)
    assert list(bits) == sorted(model)
    for place in (0, 1, bits.size // 2, bits.size - 1):
        assert (place in bits) is (place in model)
        assert bits.next_set(place) == min((one for one in model if one >= place), default=None)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.booleans(), CHANGES)
def test_a_bitmap_is_a_set_and_comes_back_from_file_and_wire(
    size: int, base: bool, changes: list[tuple[bool, int]]
) -> None:
    bits, model = build(size, base, changes)
    same(bits, model)
    stored = Bitmap(size, base=base)
    for chunk in bits.chunks:
        stored.load(chunk, bits.stored(chunk))
    same(stored, model)
    same(unpack_bits(size, pack_bits(bits)), model)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, st.booleans(), st.booleans(), CHANGES, CHANGES)
def test_a_merge_is_the_union_as_far_as_it_reaches(
    size: int,
    other_size: int,
    base: bool,
    other_base: bool,
    changes: list[tuple[bool, int]],
    others: list[tuple[bool, int]],
) -> None:
    bits, model = build(size, base, changes)
    other, more = build(other_size, other_base, others)
    bits.merge(other)
    same(bits, model | {place for place in more if place < size})
    same(other, more)


def test_memory_grows_with_what_differs_from_the_base_only() -> None:
    tracks = 1 << 24
    for base in (False, True):
        bits = Bitmap(tracks, base=base)
        assert bits.chunks == ()
        assert len(bits) == (tracks if base else 0)
        for place in range(0, 10 * CHUNK_BITS, CHUNK_BITS):
            bits.clear(place) if base else bits.set(place)
        assert len(bits.chunks) == 10
