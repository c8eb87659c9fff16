"""Live fixtures: two arrays on loopback, stopped whatever happens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from arraylab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Two running arrays without volumes."""
    made = Lab(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()
