"""A part dies under the running service, in a lab with real mounts: it comes back, and nothing acknowledged is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("faultlab.py")


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("fault", ["source-array", "target-array", "witness"])
def test_the_service_survives(fault: str, tmp_path: Path) -> None:
    lab = tmp_path / f"lab-{fault}"
    lab.mkdir()
    inside = [sys.executable, "-m", "holdfast.lab.init", "{}", sys.executable, str(SCRIPT), str(lab), fault]
    done = subprocess.run(inside, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert len(found["online"]) == 1
    assert found["lost"] == 0
    assert found["acknowledged"] > 20
