"""Systemd units with a real systemd: booted as process 1 of namespaces of its own, with units of the test alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SYSTEMD = Path("/lib/systemd/systemd")
BOOT = """set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount --bind {units} /etc/systemd/system
mkdir -p /run/systemd /run/lock
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH=/etc/systemd/system \
    {systemd} --system --unit=trial.target --log-target=console --show-status=no
"""
AWAY = ("unshare", "--fork", "--pid", "--mount", "--net", "--uts", "--ipc", "--cgroup", "--mount-proc", "--kill-child")
EVENT_LIMIT_MS = 1000

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: namespaces"),
    pytest.mark.skipif(not SYSTEMD.exists(), reason="needs systemd"),
]


class Booted:
    """A machine whose process 1 is systemd."""

    def __init__(self, directory: Path) -> None:
        units = directory / "units"
        units.mkdir()
        (units / "trial.target").write_text("[Unit]\nDescription=trial\n")
        boot, self._log = directory / "boot.sh", (directory / "boot.log").open("w")
        boot.write_text(BOOT.format(units=units, systemd=SYSTEMD))
        command = [*AWAY, "sh", str(boot)]
        self._outer = subprocess.Popen(command, stdout=self._log, stderr=self._log, start_new_session=True)
        self._directory = directory

    def ready(self) -> bool:
        """Whether systemd runs; else why it cannot is for the caller to say."""
        end = time.monotonic() + 20
        while time.monotonic() < end and self._outer.poll() is None:
            if self._inner() and self._typed("systemctl", "is-system-running").stdout.strip() in (
                "running",
                "degraded",
            ):
                return True
            time.sleep(0.1)
        return False

    def _inner(self) -> str:
        outer = self._outer.pid
        try:
            return Path(f"/proc/{outer}/task/{outer}/children").read_text().strip()
        except OSError:
            return ""

    def _typed(self, *words: str) -> subprocess.CompletedProcess[str]:
        inside = ["nsenter", "--target", self._inner(), "--mount", "--pid", "--ipc", "--net", "--cgroup"]
        return subprocess.run([*inside, *words], capture_output=True, text=True, timeout=120, check=False)

    def play(self, scene: str) -> dict[str, Any]:
        """Run a scene of ``systemdscenes.py`` there; return what it found."""
        file = Path(__file__).with_name("systemdscenes.py")
        done = self._typed(sys.executable, str(file), scene, str(self._directory), "marker")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def stop(self) -> None:
        """End systemd and all that it runs."""
        self._outer.send_signal(signal.SIGKILL)
        self._outer.wait()
        self._log.close()
        print((self._directory / "boot.log").read_text())


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Booted]:
    booted = Booted(tmp_path)
    try:
        if not booted.ready():
            pytest.skip(f"systemd cannot run in namespaces here: {(tmp_path / 'boot.log').read_text()[-300:]}")
        yield booted
    finally:
        booted.stop()


def test_a_unit_lives_its_life(machine: Booted) -> None:
    found = machine.play("whole_life")
    assert [found[one] for one in ("probe", "stop of a stopped one", "online", "monitor")] == [
        "OFFLINE", "ok", "ok", "ONLINE",
    ]  # fmt: skip
    assert found["online again"] == "ok"
    assert found["break"] < EVENT_LIMIT_MS, "the end of the main process is an event"
    assert [found["seen"], found["clean"], found["after clean"]] == ["OFFLINE", True, "OFFLINE"]
    assert "the unit failed: signal" in found["why"]
    assert [found[one] for one in ("restart", "after restart", "offline", "after offline", "offline again")] == [
        "ok", "ONLINE", "ok", "OFFLINE", "ok",
    ]  # fmt: skip
    assert found["info"] == {"unit": "widget.service", "active": "inactive", "sub": "dead", "enabled": "static"}


def test_units_that_fail_come_back_by_themselves_or_do_not_go(machine: Booted) -> None:
    found = machine.play("troubles")
    assert found["missing"] == "UNKNOWN"
    assert found["broken"] == ["OFFLINE", "the unit failed: exit-code"]
    assert found["again"] == ["ok", "ONLINE", "broken", True, "OFFLINE", "OFFLINE"], "clean ends Restart= for good"
    assert found["deaf"][:2] == ["ok", "ONLINE"]
    assert "ran out of time" in found["deaf"][2]
    assert found["deaf"][3:] == [True, "OFFLINE"]
    assert found["eager"][:2] == ["ok", "ONLINE"]
    assert "also starts at boot: systemctl disable" in found["eager"][2]
    assert found["left"] == "ok"
