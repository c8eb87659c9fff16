"""What becomes of a person's request: one small vocabulary for the modules that answer requests.

A request is refused with its reason, finished at once, or accepted and followed until the facts say that it is done.
One that must wait for other groups first is accepted without a serial and answered again with each picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from holdfast.cluster.model.facts import Confirmation, Freeze, Intent, Request, RequestState, SystemLoad
from holdfast.cluster.model.widearea import Authority, Declaration
from holdfast.cluster.plan.view import Ask, Change, View


@dataclass(frozen=True, slots=True)
class Outcome:
    """Changes to commit, the request as it is to be recorded, questions; ``freezes``, ``loads`` and ``words`` are of
    systems, ``authorities`` of global groups, ``declarations`` of remote clusters."""

    changes: tuple[Change, ...] = ()
    request: Request | None = None
    asks: tuple[Ask, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    words: tuple[Confirmation, ...] = ()
    authorities: tuple[Authority, ...] = ()
    declarations: tuple[Declaration, ...] = ()
    loads: tuple[SystemLoad, ...] = ()


def accept(view: View, request: Request, intent: Intent, kind: str, text: str) -> Outcome:
    """Commit ``intent`` and follow the request."""
    accepted = replace(request, state=RequestState.ACCEPTED, serial=intent.serial)
    return Outcome((change(view, request, intent, kind, text),), accepted)


def finish(view: View, request: Request, intent: Intent, kind: str, text: str) -> Outcome:
    """Commit ``intent``, which is all that was asked for."""
    return Outcome((change(view, request, intent, kind, text),), done(request))


def wait(request: Request, changes: tuple[Change, ...] = ()) -> Outcome:
    """Commit ``changes`` of other groups and answer the request again in the next picture."""
    return Outcome(changes, replace(request, state=RequestState.ACCEPTED, serial=0))


def change(view: View, request: Request, intent: Intent, kind: str, text: str) -> Change:
    """Return the change that a person's request makes."""
    return Change(replace(intent, epoch=view.epoch), kind, text, request.by)


def done(request: Request, output: str = "") -> Request:
    """Return the request as done."""
    return replace(request, state=RequestState.DONE, output=output or request.output)


def refused(request: Request, code: str, reason: str, remedy: str = "") -> Request:
    """Return the request as refused."""
    return replace(request, state=RequestState.REFUSED, code=code, reason=reason, remedy=remedy)


def refuse(request: Request, code: str, reason: str, remedy: str = "") -> Outcome:
    """Refuse the request and change nothing."""
    return Outcome(request=refused(request, code, reason, remedy))


def no_target(request: Request, rejected: Mapping[str, str], system: str) -> Outcome:
    """Refuse because no system, or not the one asked for, can run the group."""
    reason = rejected.get(system) if system else "; ".join(f"{name}: {why}" for name, why in rejected.items())
    return refuse(request, "no-target", f"{system or 'no system'} cannot run it: {reason}", "see group state")


def option(request: Request, name: str) -> bool:
    """Whether an option that is on or off is on."""
    return request.options.get(name) == "1"
