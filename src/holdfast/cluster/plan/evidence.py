"""Which proof allows a group to leave a system that was lost. The policy of the house, in one place.

Same zone: where a fence is configured for the group, or a device that ends the lost system, one of them must have
confirmed; the array is asked first, and a system that is off can write nowhere. Across zones, or without either: the
guard's deadline past by the observer's own clock is enough too; and across zones the target's data must be recorded as
current. The deadline does not count of a system that was in jeopardy. A person may stand in for either, and is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Departure, Evidence, EvidenceKind, Intent, Standing
from holdfast.cluster.plan.view import Ask, AskKind, View
from holdfast.kernel.errors import Refusal


@dataclass(frozen=True, slots=True)
class Proof:
    """Either evidence, or a refusal, or questions that must be answered first."""

    evidence: Evidence | None = None
    refusal: Refusal | None = None
    asks: tuple[Ask, ...] = ()


def takeover(view: View, group: Group, intent: Intent, target: str) -> Proof:
    """Return whether ``target`` may take ``group`` from its dead owner, and on which evidence."""
    death = _death(view, group, intent, target)
    if death.evidence is None:
        return death
    if group.same_zone(intent.owner, target):
        return death
    current = data_current(view, group, intent, target)
    return death if current.evidence is not None else current


def _death(view: View, group: Group, intent: Intent, target: str) -> Proof:
    owner, incarnation = intent.owner, intent.incarnation
    confirmed = view.confirmed.get(owner)
    if confirmed is not None and confirmed[0] == incarnation:
        return Proof(Evidence(EvidenceKind.PERSON, confirmed[1], owner, incarnation))
    last = view.last_facts.get((group.name, owner))
    if view.system(owner).left and last is not None and last.incarnation == incarnation and last.offline:
        text = f"{owner} left the cluster after it had confirmed every resource offline"
        return Proof(Evidence(EvidenceKind.OFFLINE_CONFIRMED, text, owner, incarnation))
    if view.system(owner).how is Departure.PARKED:
        return Proof(refusal=_unproven(owner, "it was stopped by force and left its groups running"))
    said: list[str] = []
    for ask, who in _fences(view, group, owner, incarnation):
        if ask not in view.answers:
            return Proof(asks=(ask,))
        answer = view.answers[ask]
        if isinstance(answer, Evidence):
            return Proof(answer)
        said.append(f"{who} did not confirm: {answer.reason if isinstance(answer, Refusal) else 'no answer'}")
    if said and group.same_zone(owner, target):
        return Proof(refusal=_unproven(owner, "; ".join(said)))
    if last is not None and not last.guarded:
        return Proof(refusal=_unproven(owner, "the group was frozen there, so its guard spared it"))
    if intent.spared and (last is None or last.incarnation != incarnation or last.serial < intent.spared):
        told = f"the group was frozen, and {owner} has not reported since that its guard looks after it again"
        return Proof(refusal=_unproven(owner, told))
    if view.system(owner).jeopardy:
        why = f"it was in jeopardy when it was last heard of ({view.system(owner).jeopardy}): that may have failed too"
        return Proof(refusal=_unproven(owner, why))
    silent_s = view.system(owner).silent_s
    text = (
        f"nothing was heard of {owner} for {silent_s:.1f} s by the observer's clock; the deadline at which its guard "
        "kills what it runs is past"
    )
    return Proof(Evidence(EvidenceKind.GUARD_DEADLINE, text, owner, incarnation))


def _fences(view: View, group: Group, owner: str, incarnation: str) -> Iterator[tuple[Ask, str]]:
    """Yield what can be asked to make sure of a lost system, in this order, and what it is called."""
    if group.name in view.fenced:
        yield Ask(AskKind.FENCE, group.name, owner, incarnation), "the fence"
    if owner in view.powered:
        yield Ask(AskKind.POWER, "", owner, incarnation), "what ends it from outside"


def _unproven(owner: str, why: str) -> Refusal:
    return Refusal(
        "no-evidence",
        f"{owner} is silent, but nothing proves that it can do no harm: {why}",
        f"make sure that {owner} is off, then: holdfast fence confirm {owner}",
    )


def data_current(view: View, group: Group, intent: Intent, target: str) -> Proof:
    """Return whether the data on ``target``'s side is recorded as current, or a person accepted the loss."""
    if intent.accept_data_loss:
        return Proof(Evidence(EvidenceKind.PERSON, f"a person accepted data loss: {intent.reason}"))
    ask = Ask(AskKind.STANDING, group.name, target)
    if ask not in view.answers:
        return Proof(asks=(ask,))
    answer = view.answers[ask]
    if isinstance(answer, Standing) and answer.current is True:
        return Proof(Evidence(EvidenceKind.FENCED, answer.reason))
    reason = answer.reason if isinstance(answer, Standing | Refusal) else "nobody can say"
    return Proof(
        refusal=Refusal(
            "data-not-current",
            f"the data on {target}'s side is not recorded as current: {reason}",
            f"bring the other side back, or accept the loss: holdfast group takeover {group.name} --system {target} "
            "--accept-data-loss --reason TEXT",
        )
    )
