"""The watchdog: fires before others act if the guard hangs, never while it does its work. No machine of the gate has a
real one, so a pipe stands for the device, with the one answer that a pipe cannot give."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.app.system import read_system_file
from holdfast.cluster.model.timing import HEARTBEAT_INTERVAL_S, LEASE_TTL_S, MARGIN_S
from holdfast.cluster.plan.deadline import Deadline, may_feed
from holdfast.cluster.service import watchdog
from holdfast.cluster.service.watchdog import Watchdog
from holdfast.kernel.errors import InputError

TIMEOUT_S = max(1, int(LEASE_TTL_S / 2))


@given(st.floats(0, 1e6), st.floats(0, 60), st.integers(1, 30), st.floats(0, 5))
def test_whenever_the_guard_stops_it_fires_before_others_act(
    start: float, hung_after: float, timeout_s: int, margin_s: float
) -> None:
    deadline, last_fed = Deadline(), start
    deadline.renewed(start, LEASE_TTL_S)
    now = start
    while now <= start + hung_after:
        if may_feed(now, deadline.at, timeout_s, margin_s):
            last_fed = now
        now += 0.1
    if last_fed > start:
        assert last_fed + timeout_s <= deadline.at + margin_s + 1e-6


def test_a_system_that_renews_in_time_is_always_fed_in_time() -> None:
    deadline, now, fed = Deadline(), 0.0, 0.0
    for step in range(2000):
        now = step * 0.05
        if step % int(HEARTBEAT_INTERVAL_S / 0.05) == 0:
            deadline.renewed(now, LEASE_TTL_S)
        if may_feed(now, deadline.at, TIMEOUT_S, MARGIN_S):
            fed = now
        assert now - fed < TIMEOUT_S / 2


class Device:
    """A pipe in the place of ``/dev/watchdog``."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "watchdog")
        os.mkfifo(self.path)
        self._end = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def fed(self) -> bytes:
        try:
            return os.read(self._end, 4096)
        except BlockingIOError:
            return b""


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def accept(monkeypatch: pytest.MonkeyPatch, taken_s: int) -> None:
    monkeypatch.setattr(watchdog, "ioctl", lambda _fd, _call, _given: struct.pack("i", taken_s))


def test_it_is_fed_while_that_is_safe_and_disarmed_in_the_end(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(monkeypatch, 2)
    dog = Watchdog(device.path, 2, 0.3)
    dog.look(10.0, 0.0)
    assert device.fed() == b"\0"
    dog.look(11.0, 13.0)
    assert device.fed() == b"\0"
    dog.look(12.0, 13.0)
    assert device.fed() == b"", "it would fire after the others act"
    dog.look(12.5, 15.1)
    assert device.fed() == b"\0", "renewed"
    dog.disarm()
    assert device.fed() == b"V"


def test_a_device_that_takes_a_longer_time_is_given_back_disarmed(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(monkeypatch, 60)
    with pytest.raises(OSError, match="makes 60 s"):
        Watchdog(device.path, 2, 0.3)
    assert device.fed() == b"V"


def test_what_is_no_watchdog_is_no_watchdog(device: Device) -> None:
    with pytest.raises(OSError, match=r".*"):
        Watchdog(device.path, 2, 0.3)


def settings(directory: Path, more: str) -> dict[str, object]:
    path = directory / "s.toml"
    path.write_text(f'name = "a"\nstore = "embedded:///x"\nrun_directory = "/x"\n{more}')
    return dict(read_system_file(path).guard)


def test_the_settings_say_what_the_guard_arms(tmp_path: Path) -> None:
    assert "watchdog" not in settings(tmp_path, "")
    assert settings(tmp_path, 'watchdog = "/dev/watchdog"\nwatchdog_mode = "required"\n')["watchdog"] == {
        "device": "/dev/watchdog", "timeout_s": TIMEOUT_S, "margin_s": MARGIN_S, "required": True,
    }  # fmt: skip
    assert "watchdog" not in settings(tmp_path, 'watchdog = "/dev/watchdog"\nwatchdog_mode = "off"\n')
    for bad in ('watchdog_mode = "required"', 'watchdog = "/w"\nlease_ttl_s = 1.0', 'watchdog_mode = "maybe"'):
        with pytest.raises(InputError) as caught:
            settings(tmp_path, bad)
        assert caught.value.remedy
