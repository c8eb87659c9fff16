"""An array's process is killed at random points; nothing that changed is forgotten (long form: bench.copies_crash)."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench import copies_crash

from holdfast.replication.service.media import Media


def test_kills_at_random_points_forget_no_changed_track(tmp_path: Path) -> None:
    seed = secrets.randbelow(1 << 31)
    print(f"seed {seed}")
    report = copies_crash.run(30, seed, tmp_path)
    assert report.kept, report
    assert report.points == 30
    assert report.tracks_written > 300


def test_a_bit_that_is_not_kept_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Media, "write_bits", lambda *_: None)
    report = copies_crash.run(5, 1, tmp_path)
    assert report.tracks_missing
