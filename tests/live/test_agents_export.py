"""Holdfast's own agents as OCF agents: Debian's ocf-tester passes them, and their metadata is valid."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Thread

import pytest

TYPES = ("Application", "FileOnOff", "IP", "Mount", "Process")
needs_tester = pytest.mark.skipif(shutil.which("ocf-tester") is None or os.geteuid() != 0, reason="needs ocf-tester")


@pytest.fixture
def provider(tmp_path: Path) -> Path:
    """The installed stubs, where another user may read them, as ocf-tester tries."""
    command = [sys.executable, "-m", "holdfast", "agent", "install", "--into", str(tmp_path / "holdfast")]
    subprocess.run(command, check=True, capture_output=True)
    assert sorted(path.name for path in (tmp_path / "holdfast").iterdir()) == sorted(TYPES)
    return tmp_path / "holdfast"


def parameters(kind: str, directory: Path) -> Mapping[str, str]:
    program = directory / "program"
    return {
        "FileOnOff": {"PathName": f"{directory}/flag"},
        "Process": {"PathName": shutil.which("sleep") or "", "Arguments": str(6000 + os.getpid() % 1000)},
        "Application": {
            "StartProgram": f"{program}",
            "StopProgram": f"kill `cat {directory}/pid`; rm {directory}/pid",
            "PidFiles": f"{directory}/pid",
        },
        "IP": {"Device": "dum0", "Address": "10.79.0.9", "PrefixLen": "24"},
        "Mount": {"MountPoint": f"{directory}/mnt", "BlockDevice": f"{directory}/image", "FSType": "ext4"},
    }[kind]


@needs_tester
@pytest.mark.parametrize("kind", TYPES)
def test_ocf_tester_passes(kind: str, provider: Path, tmp_path: Path) -> None:
    (tmp_path / "program").write_text(
        f"#!/bin/sh\n[ -e {tmp_path}/pid ] && exit 0\nsleep 1000 &\necho $! > {tmp_path}/pid\n"
    )
    (tmp_path / "program").chmod(0o755)
    if kind == "Mount":
        subprocess.run(["truncate", "-s", "16M", str(tmp_path / "image")], check=True)
        subprocess.run(["mkfs.ext4", "-q", str(tmp_path / "image")], check=True)
    options = [word for name, text in parameters(kind, tmp_path).items() for word in ("-o", f"{name}={text}")]
    # ocf-tester reads the metadata as nobody, who cannot reach a test's directory: it lies below /mnt here
    links = "ip link add dum0 type veth peer name dum1 && ip link set dum0 up"
    script = f'mount --bind {provider} /mnt && {links} && exec ocf-tester -n trial "$@" /mnt/{kind}'
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", script, "sh", *options],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "HA_RSCTMP": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed all tests" in done.stdout


def act(stub: Path, action: str, **values: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HA_RSCTMP": str(stub.parent.parent), "OCF_RESOURCE_INSTANCE": "trial"}
    given = {f"OCF_RESKEY_{name}": text for name, text in values.items()}
    return subprocess.run(
        [str(stub), action], capture_output=True, text=True, timeout=60, check=False, env={**environment, **given}
    )


def test_exit_codes_and_reasons(provider: Path, tmp_path: Path) -> None:
    flag = provider / "FileOnOff"
    path = str(tmp_path / "flag")
    assert act(flag, "monitor", PathName=path).returncode == 7
    assert act(flag, "start", PathName=path).returncode == 0
    assert act(flag, "monitor", PathName=path).returncode == 0
    assert act(flag, "promote", PathName=path).returncode == 3
    broken = act(provider / "Process", "validate-all")
    assert broken.returncode == 6
    assert broken.stderr.startswith("ocf-exit-reason:trial has no PathName: set PathName")
    failed = act(provider / "Process", "start", PathName=shutil.which("sleep") or "", Arguments="nonsense")
    assert failed.returncode == 1
    assert "ended at once with 1" in failed.stderr
    assert act(provider / "Mount", "monitor").returncode == 6


def test_stop_goes_on_when_nobody_can_say_what_runs(provider: Path, tmp_path: Path) -> None:
    """The file that its programs need is gone, so the first look and the stop program fail: clean ends it."""
    daemon = subprocess.Popen(["sleep", "1000"])
    reaper = Thread(target=daemon.wait)  # a child that nobody waits for would still be found by its id
    reaper.start()
    try:
        (tmp_path / "pid").write_text(str(daemon.pid))
        values = {
            "PidFiles": f"{tmp_path}/pid",
            "MonitorProgram": "exit 1",
            "EnvFile": str(tmp_path / "environment"),
        }
        stub = provider / "Application"
        assert act(stub, "monitor", **values).returncode == 1
        assert act(stub, "stop", **values).returncode == 0
        assert daemon.wait(timeout=5) == -9
    finally:
        daemon.kill()
        reaper.join()
