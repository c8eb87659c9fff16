"""The short version of ``make chaos``: a few faults on three real systems and etcd members, every promise watched."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest
from etcdlab import needs_etcd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.chaos import chaos

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="nodes are made of namespaces, as root")
FAULTS = 8


def test_no_promise_is_broken_by_faults_in_a_row(tmp_path: Path, rng: random.Random) -> None:
    needs_etcd()
    report = chaos(FAULTS, rng.randrange(10**6), tmp_path)
    print(report.text())
    assert not report.violations, report.text()
    assert sum(report.faults.values()) == FAULTS
    assert report.acknowledged > FAULTS
    assert report.looks > 100
