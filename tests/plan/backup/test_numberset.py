"""The set of numbers that a session has been told of."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.backup.model.numberset import NumberSet


@settings(derandomize=True, max_examples=200)
@given(added=st.lists(st.integers(0, 5_000), max_size=50), asked=st.integers(-3, 6_000))
def test_it_holds_what_was_added_and_nothing_else(added: list[int], asked: int) -> None:
    numbers = NumberSet()
    numbers.add(added)
    assert all(number in numbers for number in added)
    assert (asked in numbers) is (asked in added)


def test_numbers_that_nobody_handed_out_cost_nothing() -> None:
    numbers = NumberSet()
    numbers.add([7])
    assert 2**63 not in numbers
    assert -1 not in numbers
