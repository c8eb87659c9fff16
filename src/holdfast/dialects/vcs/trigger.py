"""``hatrigger``: run a trigger of this system by hand, with the arguments that the event would give it."""

from __future__ import annotations

import sys

from holdfast.cluster.plan.triggers import TRIGGERS
from holdfast.dialects.vcs.session import Form, Session, UsageError, Words
from holdfast.kernel.errors import Refusal, Refused


def _run(name: str) -> Form:
    def run(session: Session, words: Words) -> None:
        known = TRIGGERS[name].arguments
        given = words.raw[1:]
        if len(given) < len([one for one in known if one != "faulted system"]):
            raise UsageError(f"-{name} {' '.join(f'<{one}>' for one in known)}")
        programs, code = session.wire.trigger(name, given)
        if not programs:
            reason = f"there is no program for {name} in {session.wire.local.triggers}"
            raise Refused(Refusal("no-trigger", reason, "put one there that can be executed"))
        sys.stdout.write(f"{name}: {programs} run, exit code {code}\n")
        if code:
            raise Refused(Refusal("trigger-failed", f"{name} ended with {code}", "see what it printed"))

    return run


FORMS: dict[str, Form] = {name: _run(name) for name in TRIGGERS}
"""Forms of ``hatrigger``: one for each trigger."""
