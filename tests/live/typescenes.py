"""Scenes of the types whose work an OCF agent does, and of devices that stand in for one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentbench import Bench, main, run

RECORDER = """#!/bin/sh
env | grep '^OCF_RESKEY_[a-z]' | grep -v -e CRM_meta -e crm_feature | sort > @DIR@/given
[ "$1" = monitor ] && exit 7
exit 0
"""

SAMPLES = {
    "Oracle": ("oracle", 'Sid = PROD Owner = oracle Home = "/opt/oracle" Pfile = "/opt/init.ora"'),
    "Netlsnr": ("oralsnr", 'Sid = PROD Owner = oracle Home = "/opt/oracle" TnsAdmin = "/opt/net"'),
    "LVMLogicalVolume": ("LVM-activate", "VolumeGroup = vg0 LogicalVolume = data"),
    "DNS": ("dnsupdate", 'Hostname = "www.example" Address = "127.0.0.5" Server = "127.0.0.1"'),
}


async def given(bench: Bench) -> Mapping[str, Any]:
    """What the OCF agent of each type is given."""
    found: dict[str, Any] = {}
    for kind, (agent, attributes) in SAMPLES.items():
        path = bench.directory / "ocf/resource.d/heartbeat" / agent
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECORDER.replace("@DIR@", str(bench.directory)))
        path.chmod(0o755)
        one = bench.resource(kind, attributes, OCF_ROOT=str(bench.directory / "ocf"))
        assert await one.monitor() == "OFFLINE"
        lines = (bench.directory / "given").read_text().splitlines()
        found[kind] = [line.removeprefix("OCF_RESKEY_") for line in lines]
    return found


async def missing(bench: Bench) -> Mapping[str, Any]:
    """What the real agents, and types that nothing drives, say on a machine that lacks what they need."""
    share = bench.resource("Share", 'PathName = "/nowhere/at/all"')
    group = bench.resource("DiskGroup", "DiskGroup = dg1", name="g")
    return {
        "Share": await share.online(), "DiskGroup": await group.monitor(), "start": await group.online(),
        "clean": await group.clean(),
    }  # fmt: skip


async def devices(bench: Bench) -> Mapping[str, Any]:
    """Two devices, of which one goes, then both."""
    for name in ("one0", "two0"):
        run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
        run("ip", "link", "set", name, "up")
        run("ip", "link", "set", f"{name}p", "up")
    nics = bench.resource("MultiNICB", "Device = { one0 = 0, two0 = 1 }")
    found: dict[str, Any] = {"both": await nics.monitor()}
    run("ip", "link", "set", "one0p", "down")
    found["one"] = await nics.monitor()
    assert nics.last is not None
    found["confidence"], found["why"] = nics.last.confidence, nics.last.detail
    run("ip", "link", "set", "two0", "down")
    found["none"] = await nics.monitor()
    return found


if __name__ == "__main__":
    main(given, missing, devices)
