"""The VCS commands by name, each with its forms."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from holdfast.dialects.vcs import (
    alert,
    changes,
    engine,
    groups,
    hacf,
    messages,
    resources,
    status,
    systems,
    trigger,
    users,
)
from holdfast.dialects.vcs.session import Form, VcsWire, run_form

FORMS: dict[str, dict[str, Form]] = {
    "hastatus": status.FORMS,
    "hagrp": groups.FORMS,
    "hares": resources.FORMS,
    "hasys": systems.SYSTEM_FORMS,
    "hatype": systems.TYPE_FORMS,
    "haattr": systems.ATTRIBUTE_FORMS,
    "haclus": systems.CLUSTER_FORMS,
    "hahb": systems.HEARTBEAT_FORMS,
    "haconf": changes.FORMS,
    "haalert": alert.FORMS,
    "hauser": users.FORMS,
    "halogin": users.LOGIN_FORMS,
    "hacf": hacf.FORMS,
    "hatrigger": trigger.FORMS,
    "hamsg": messages.FORMS,
    "hastart": engine.START_FORMS,
    "hastop": engine.STOP_FORMS,
}
"""Command → its forms."""


def run(
    name: str, arguments: Sequence[str], wire: VcsWire, out: TextIO | None = None, err: TextIO | None = None
) -> int:
    """Run one VCS command, printing to ``out`` and ``err`` (this process's own by default); return its exit code."""
    return run_form(name, FORMS[name], wire, arguments, out or sys.stdout, err or sys.stderr)
