"""What was written is read alike: for every configuration that the language can express, and for type files."""

from __future__ import annotations

from configurations import BUNDLED, TYPES, configurations, resource_types
from hypothesis import Phase, given, settings

from holdfast.cluster.config.builder import build
from holdfast.cluster.config.writer import dump, dump_types
from holdfast.cluster.model.configuration import Configuration, ResourceType

FAST = (Phase.explicit, Phase.generate)  # shrinking a whole configuration takes minutes


def read(text: str) -> Configuration:
    return build({"main.cf": text, "types.cf": TYPES})


@settings(max_examples=200, derandomize=True, deadline=None, print_blob=True, phases=FAST)
@given(configurations())
def test_reading_what_was_dumped_says_the_same_and_dumps_the_same(configuration: Configuration) -> None:
    text = dump(configuration)
    again = read(text)
    assert again == configuration
    assert again.comments == configuration.comments
    assert dump(again) == text


@settings(max_examples=100, derandomize=True, deadline=None, print_blob=True, phases=FAST)
@given(resource_types())
def test_types_that_were_dumped_are_read_alike(types: dict[str, ResourceType]) -> None:
    text = dump_types(types)
    again = build({"main.cf": text}).types
    assert again == types
    assert dump_types(again) == text


def test_the_bundled_types_are_dumped_alike() -> None:
    assert build({"main.cf": dump_types(BUNDLED)}).types == BUNDLED
