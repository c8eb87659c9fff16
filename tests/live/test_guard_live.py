"""The guard by itself: quick, small, and deaf to a renewal that was started after the deadline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import holdfast

DAEMON = r"""
import json, os, socket, sys, time
link = socket.socket(fileno=int(os.environ["HOLDFAST_GUARD_FD"]))
def tell(**message): link.send(json.dumps(message).encode())
def now(): return time.clock_gettime(time.CLOCK_BOOTTIME)
out = open(sys.argv[1], "a", buffering=1)
out.write("start " + os.environ["HOLDFAST_INCARNATION"] + "\n")
tell(op="workload", group="g")
data, fds, _, _ = socket.recv_fds(link, 65536, 1)
home = socket.socket(fileno=fds[0])
null = os.open("/dev/null", os.O_RDWR)
script = "(setsid sleep 987 &) ; (setsid sh -c 'sleep 986 & wait' &) ; sleep 985"
message = {"id": "1", "op": "spawn", "argv": ["/bin/sh", "-c", script], "env": dict(os.environ), "cwd": "/"}
socket.send_fds(home, [json.dumps(message).encode()], [null, null, null])
time.sleep(0.8)
start = now()
tell(op="renewed", start=start, ttl=0.6)
out.write("renewed\n")
if sys.argv[2] == "late":
    time.sleep(0.55)
    os.kill(os.getppid(), 19)          # SIGSTOP the guard, as if the whole system stopped
    time.sleep(0.5)
    tell(op="renewed", start=now(), ttl=600.0)
    os.kill(os.getppid(), 18)
time.sleep(1000)
"""


def sleepers(tag: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (path / "cmdline").read_bytes()
            tagged = f"HOLDFAST_TAG={tag}".encode() in (path / "environ").read_bytes()
            if arguments.startswith(b"sleep\x0098") and tagged:
                found.append(int(path.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("isolation", ["auto", "marker"])
@pytest.mark.parametrize("behaviour", ["silent", "late"])
def test_everything_dies_at_the_deadline(tmp_path: Path, isolation: str, behaviour: str) -> None:
    if isolation == "auto" and os.geteuid() != 0:
        pytest.skip("PID namespaces need root")
    log, tag = tmp_path / "log", os.urandom(4).hex()
    daemon = [sys.executable, "-c", DAEMON, str(log), behaviour]
    environment = {**os.environ, "PYTHONPATH": str(Path(holdfast.__file__).parents[1]), "HOLDFAST_TAG": tag}
    settings = json.dumps({"daemon": daemon, "isolation": isolation})
    argv = [sys.executable, "-S", "-m", "holdfast.cluster.service.guard", settings]
    with subprocess.Popen(argv, env=environment) as guard:
        try:
            while not log.exists() or "renewed" not in log.read_text():
                time.sleep(0.01)
            assert len(sleepers(tag)) == 3
            resident_kib = int(
                next(line for line in Path(f"/proc/{guard.pid}/status").read_text().splitlines() if "VmRSS" in line)
                .split()[1]
            )  # fmt: skip
            assert resident_kib < 32 * 1024
            end = time.monotonic() + (1.0 if behaviour == "silent" else 1.6)
            while sleepers(tag) and log.read_text().count("start") < 2:
                assert time.monotonic() < end, "a renewal started after the deadline must not count"
                time.sleep(0.005)
            while log.read_text().count("start") < 2:
                assert time.monotonic() < end + 5.0
                time.sleep(0.01)
            incarnations = [line.split()[1] for line in log.read_text().splitlines() if line.startswith("start")]
            assert incarnations[0] < incarnations[1]
        finally:
            guard.send_signal(signal.SIGKILL)
    end = time.monotonic() + 10.0
    while sleepers(tag):
        assert time.monotonic() < end, "nothing outlives the guard"
        time.sleep(0.01)


TWO_HOMES = """
import os, time
from holdfast.cluster.service import kernelcalls
from holdfast.cluster.service.guard import _Home

def held(pid):
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            continue
    return sorted(found)

kernelcalls.share_mounts()
one, two = _Home("one", True), _Home("two", True)
end = time.monotonic() + 10
while any(each.startswith("mnt:") for each in held(two.pid)) and time.monotonic() < end:
    time.sleep(0.01)
print(*held(two.pid), sep="\\n")
one.kill()
two.kill()
"""


@pytest.mark.root
def test_a_workload_holds_nothing_of_another(tmp_path: Path) -> None:
    """A mount namespace that a spared group pinned would keep the file systems of a killed one mounted."""
    words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", sys.executable, "-c", TWO_HOMES]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    held = done.stdout.splitlines()
    assert any(one.startswith("socket:") for one in held), "the look finds what a workload holds"
    assert not [one for one in held if one.startswith("mnt:")], held
