"""What every test shares: the seed of this run, printed so that a failing run can be repeated."""

from __future__ import annotations

import os
import random
import tempfile

import pytest
from hypothesis import settings

# how long an example takes says nothing: what fails prints how to repeat it
settings.register_profile("holdfast", deadline=None, print_blob=True)
settings.load_profile("holdfast")

# what commands keep as a cache is the run's own, and goes with it
_CACHE = tempfile.TemporaryDirectory(prefix="holdfast-cache-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name

SEED = int(os.environ.get("HOLDFAST_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)


def pytest_report_header() -> str:
    return f"holdfast seed: {SEED} (repeat with HOLDFAST_TEST_SEED={SEED})"


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Randomness that depends on the run's seed and the test's name only."""
    return random.Random(f"{SEED}:{request.node.nodeid}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root"))
