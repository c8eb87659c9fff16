"""A few of the thousand seeded kills of ``make kill-points``: server and client die, nothing acknowledged is lost."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from killscenes import Rounds


def test_kills_at_seeded_points(tmp_path: Path, rng: random.Random) -> None:
    rounds = Rounds(tmp_path, rng)
    try:
        rounds.run(3)
    finally:
        rounds.lab.close()
