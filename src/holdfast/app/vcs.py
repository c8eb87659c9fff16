"""The composition root of the VCS commands: binds what they need to the store and to this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.app.cluster import read_state, submit, with_client, with_store
from holdfast.cluster.config.edit import Draft
from holdfast.cluster.config.files import load
from holdfast.cluster.model.facts import Request
from holdfast.cluster.service.records import ROOT, State
from holdfast.cluster.service.triggers import Triggers
from holdfast.dialects.vcs.commands import run
from holdfast.dialects.vcs.session import Host, VcsWire
from holdfast.kernel.errors import HoldfastError, Refusal, Refused
from holdfast.store.port import Entry, Store

if TYPE_CHECKING:  # a command that asks for no forecast does not pay for the planner
    from holdfast.cluster.plan.forecast import Forecast


TRIGGERS = "/etc/holdfast/triggers"
_TRIGGER_LIMIT_S = 60.0
_EARLY_S = 2.0
"""A guard that is still there after so long has accepted its file."""
REASON = "HOLDFAST_REASON"


def vcs_main(name: str, arguments: list[str]) -> int:
    """Run a VCS command such as ``hagrp`` with the arguments after its name; return its exit code."""
    return run(name, arguments, vcs_wire())


def vcs_wire() -> VcsWire:
    """Return what the commands work with; the store is the one that the environment names."""
    host = this_host()
    return VcsWire(
        lambda: read_state(""),
        _submit,
        load,
        _edit,
        _writable,
        _follow,
        lambda: start(host),
        _login,
        lambda name, arguments: _trigger(host, name, arguments),
        _forecast,
        _acknowledge,
        host,
    )


def _submit(request: Request, wait_s: float) -> Request:
    reason = os.environ.get(REASON, "")
    options = {**request.options, "reason": reason} if reason else request.options
    return submit("", replace(request, options=options), wait_s)


def _edit(work: Callable[[Draft], None], force: bool) -> None:
    from holdfast.app.configuration import edited

    reason = os.environ.get(REASON, "")
    with_store("", lambda opened, by: edited(opened, by, work, reason, force))


def _acknowledge(alert: str, reason: str) -> None:
    with_client("", lambda client: client.acknowledge(alert, reason))


def _writable(wish: bool) -> bool:
    from holdfast.app.configuration import set_writable

    return with_store("", lambda opened, by: set_writable(opened, by, wish))


def _trigger(host: Host, name: str, arguments: Sequence[str]) -> tuple[int, int]:
    programs = Triggers(Path(host.triggers), {}, lambda _level, _text: None).programs(name)
    for program in programs:
        try:
            code = subprocess.run([program, *arguments], timeout=_TRIGGER_LIMIT_S, check=False).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HoldfastError(f"{program} cannot be run: {error}", "see that it can be executed and ends") from error
        if code:
            return len(programs), code
    return len(programs), 0


def _login(user: str, password: str) -> str:
    from holdfast.app.login import log_in

    return with_store("", lambda opened, _by: log_in(opened, user, password), named=False)


def _forecast(state: State, group: str) -> Forecast:
    from holdfast.app.forecasts import failover

    return failover(state, group)


def _follow(look: Callable[[State], None]) -> None:
    async def work(opened: Store, _by: str) -> None:
        state = State.of(await opened.read(ROOT))
        look(state)
        async for changes in opened.watch(ROOT, state.revision):
            for change in changes:
                if change.value is None:
                    state.drop(change.key, change.revision)
                else:
                    state.put(change.key, Entry(change.value, change.revision))
            look(state)

    with_store("", work)


def start(host: Host) -> str:
    """Start the system that ``host`` describes, apart from this terminal; return what was done."""
    from holdfast.app.system import guard_of, read_system_file, resume_guard

    file = read_system_file(Path(host.config_file))
    guard = guard_of(file)
    if guard:
        if not resume_guard(guard):
            raise Refused(Refusal("running", f"{host.system} runs already, guarded by process {guard}", "hastatus"))
        return f"VCS NOTICE {host.system} is started again and finds what runs"
    command = [sys.executable, "-m", "holdfast", "system", "run", "--config", str(file.path.resolve())]
    quiet = subprocess.DEVNULL
    with tempfile.TemporaryFile() as said:
        started = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=said, start_new_session=True)
        try:
            code = started.wait(_EARLY_S)
        except subprocess.TimeoutExpired:
            return f"VCS NOTICE {host.system} is started with {host.config_file}"
        said.seek(0)
        text = said.read(4096).decode(errors="replace").strip()
    raise HoldfastError(f"{host.system} did not start (exit code {code}): {text}", f"see {host.config_file}")


def this_host() -> Host:
    """Return what is known of this machine: from the file that HOLDFAST_SYSTEM_CONFIG names, else its name alone."""
    file = os.environ.get("HOLDFAST_SYSTEM_CONFIG", "")
    try:
        table = tomllib.loads(Path(file).read_text("utf-8")) if file else {}
    except (OSError, tomllib.TOMLDecodeError):
        table = {}
    name = str(table.get("name") or socket.gethostname().partition(".")[0])
    looked_at = f"HOLDFAST_SYSTEM_CONFIG ({file or 'not set'})"
    triggers = str(table.get("triggers") or TRIGGERS)
    return Host(name, file if table else "", str(table.get("log_directory", "")), triggers, looked_at)
