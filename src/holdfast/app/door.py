"""The composition root of the door: VCS commands answered by the system daemon with what it sees and its store.

Answered are questions, and requests that the coordinator decides on; what changes the configuration, follows the
cluster or waits for long is done by the command itself. Served are root, the daemon's own user and, once the
configuration says who may do what, those whom it names; what they may do is decided where every request is.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from holdfast.app.cluster import complete
from holdfast.app.knock import COMMANDS
from holdfast.cluster.model.facts import Request
from holdfast.cluster.plan.privileges import governed, roles
from holdfast.cluster.service.client import configuration_of
from holdfast.cluster.service.door import Clerk, Desk, Knock, Said
from holdfast.dialects.vcs.commands import run
from holdfast.dialects.vcs.session import VcsWire
from holdfast.kernel.errors import HoldfastError
from holdfast.runtime.peer import user_name


class _Elsewhere(Exception):
    """The command needs what the door does not give."""


def _not_here(*_anything: Any) -> NoReturn:
    raise _Elsewhere


def clerk(store: str, config: Path) -> Clerk:
    """Return who answers at the door of the system whose file is ``config`` and whose store is ``store``."""

    def answer(knock: Knock, desk_of: Callable[[str], Desk]) -> Said | None:
        named = _person(knock)
        if knock.command not in COMMANDS or not _of_this_cluster(knock, store, config):
            return None
        desk = desk_of(named)
        if not _served(knock, desk, named):
            return None
        out, err = io.StringIO(), io.StringIO()
        try:
            code = run(knock.command, knock.arguments, _wire(desk, knock.reason), out, err)
        except _Elsewhere:
            return None
        except HoldfastError as error:
            return Said(1, out.getvalue(), f"{knock.command}: {error}\n")
        return Said(code, out.getvalue(), err.getvalue())

    return answer


def _wire(desk: Desk, reason: str) -> VcsWire:
    def submit(request: Request, wait_s: float) -> Request:
        options = {**request.options, "reason": reason} if reason else request.options
        return desk.ask(complete(desk.state, replace(request, options=options)), wait_s)

    return VcsWire(lambda: desk.state, submit, _not_here, _not_here, _not_here, _not_here, _not_here, _not_here)


def _of_this_cluster(knock: Knock, store: str, config: Path) -> bool:
    if knock.config and not _same(knock.config, config):
        return False
    return knock.store in ("", store)


def _same(path: str, config: Path) -> bool:
    try:
        return os.path.samefile(path, config)
    except OSError:
        return False


def _person(knock: Knock) -> str:
    name = user_name(knock.uid)
    return f"{knock.became} as {name}" if knock.uid == 0 and knock.became not in ("", "root") else name


def _served(knock: Knock, desk: Desk, named: str) -> bool:
    if knock.uid in (0, os.geteuid()):
        return True
    configuration = configuration_of(desk.state)
    held = roles(configuration, named)
    return governed(configuration) and (held.known or held.administrator or held.operator)
