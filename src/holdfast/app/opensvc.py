"""The composition root of the OpenSVC commands: the agent's directories, and the cluster that a service may be part of.

A cluster is only asked where one is named (HOLDFAST_STORE or HOLDFAST_SYSTEM_CONFIG); services that only drive flash
copies need none.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from holdfast.cluster.config.edit import Draft
from holdfast.cluster.service.report import GroupReport
from holdfast.dialects.opensvc.home import Home
from holdfast.dialects.opensvc.svcmgr import OpensvcWire, run, run_schedulers
from holdfast.kernel.errors import Refusal, Refused

DIRECTORIES = {"OSVCETC": "/etc/opensvc", "OSVCVAR": "/var/lib/opensvc", "OSVCLOG": "/var/log/opensvc"}
_WAIT_S = 600.0


def opensvc_main(name: str, arguments: list[str]) -> int:
    """Run ``svcmgr`` or ``nodemgr`` with the arguments after its name; return its exit code."""
    wire = _wire()
    return run(arguments, wire) if name == "svcmgr" else run_schedulers(arguments, wire)


def _wire() -> OpensvcWire:
    from holdfast.app.vcs import this_host

    etc, var, log = (Path(os.environ.get(name) or default) for name, default in DIRECTORIES.items())
    return OpensvcWire(Home(etc, var, log, this_host().system), _group, _request, _edit)


def _has_cluster() -> bool:
    return bool(os.environ.get("HOLDFAST_STORE") or os.environ.get("HOLDFAST_SYSTEM_CONFIG"))


def _group(name: str) -> GroupReport | None:
    if not _has_cluster():
        return None
    from holdfast.app.cluster import read_state
    from holdfast.cluster.service.client import configuration_of
    from holdfast.cluster.service.report import group_report

    state = read_state("")
    group = configuration_of(state).groups.get(name) if state.config is not None else None
    return None if group is None else group_report(state, group)


def _request(operation: str, group: str, system: str) -> None:
    from holdfast.app.cluster import submit
    from holdfast.cluster.model.facts import Request

    submit("", Request("", operation, group, "", system), _WAIT_S)


def _edit(work: Callable[[Draft], None]) -> None:
    if not _has_cluster():
        remedy = "set HOLDFAST_STORE or HOLDFAST_SYSTEM_CONFIG"
        raise Refused(Refusal("no-cluster", "the service has resources that a cluster must run", remedy))
    from holdfast.app.cluster import with_store
    from holdfast.app.configuration import edited

    with_store("", lambda opened, by: edited(opened, by, work))
