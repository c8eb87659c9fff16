"""Mount and IP agents on real file systems and devices, in namespaces of their own so that nothing can be left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="mounts and addresses need root")]

SCRIPT = r"""
import asyncio, json, os, signal, socket, subprocess, sys, time
from pathlib import Path
from holdfast.cluster.agents.mount import Mount, mounted
from holdfast.cluster.agents.ip import IP
from holdfast.cluster.model.facts import CleanReason
from holdfast.cluster.ports import AgentContext
from holdfast.cluster.service import kernelcalls
from holdfast.cluster.service.guard import _Home
from holdfast.cluster.service.launcher import Workload

directory = Path(sys.argv[1])
found = {}

async def main():
    kernelcalls.share_mounts()
    home = _Home("web", True)
    workload = Workload(home.requests, home.pid, home.mark, True)
    image = directory / "image"
    subprocess.run(["truncate", "-s", "64M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    loop = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True).stdout.strip()
    def context(**attributes):
        base = {"OnlineTimeout": 60, "MountPoint": str(directory / "mnt"), "BlockDevice": loop, "FSType": "ext4",
                "FsckOpt": "-p", "CreateMntPt": 1, **attributes}
        return AgentContext("r", "web", "alpha", "1-a", base, workload, directory)
    agent = Mount()
    try:
        found["before"] = (await agent.monitor(context())).state.value
        await agent.online(context())
        result = await agent.monitor(context())
        found["online"] = (result.state.value, result.broken)
        subprocess.run(["mount", "-o", "remount,ro", str(directory / "mnt")], check=True)
        result = await agent.monitor(context())
        found["read_only"] = (result.state.value, result.broken, result.detail)
        subprocess.run(["mount", "-o", "remount,rw", str(directory / "mnt")], check=True)
        process = await workload.spawn(f"exec sleep 1000 > {directory}/mnt/log")
        await asyncio.sleep(0.2)
        found["cleaned"] = await agent.clean(context(), CleanReason.UNEXPECTED_OFFLINE)
        found["killed"] = await process.wait()
        found["after"] = (await agent.monitor(context())).state.value
        await agent.online(context())
        await agent.offline(context())
        found["offline"] = mounted(str(directory / "mnt")) is None
        subprocess.run(["ip", "link", "add", "dum0", "type", "veth", "peer", "name", "dum1"], check=True)
        subprocess.run(["ip", "link", "set", "dum0", "up"], check=True)
        address = IP()
        ip = context(Device="dum0", Address="10.77.0.10", NetMask="255.255.255.0")
        states = [(await address.monitor(ip)).state.value]
        await address.online(ip)
        await address.online(ip)
        states.append((await address.monitor(ip)).state.value)
        subprocess.run(["ip", "link", "set", "dum0", "down"], check=True)
        states.append((await address.monitor(ip)).broken)
        await address.offline(ip)
        await address.offline(ip)
        states.append((await address.monitor(ip)).state.value)
        found["ip"] = states
    finally:
        home.kill()
        subprocess.run(["losetup", "-d", loop])

asyncio.run(main())
print(json.dumps(found))
"""


def test_mount_and_address_come_and_go(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--propagation", "private", sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["before"] == "OFFLINE"
    assert found["online"] == ["ONLINE", False]
    assert found["read_only"] == ["ONLINE", True, "the file system went read-only"]
    assert found["cleaned"] is True
    assert found["killed"] == -9
    assert found["after"] == "OFFLINE"
    assert found["offline"] is True
    assert found["ip"] == ["OFFLINE", "ONLINE", True, "OFFLINE"]
