"""What becomes of one group: the coordinator's decision, read from top to bottom.

Each function answers for one situation (never started, owner alive, owner dead, changing hands, kept down for another
group's sake) and returns a fragment of a :class:`Decision`. A new owner is named only by :func:`_give`, and never
without evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import (
    SPARED,
    Departure,
    Evidence,
    EvidenceKind,
    GroupFact,
    Intent,
    Life,
    Note,
    Wanted,
)
from holdfast.cluster.plan import widearea
from holdfast.cluster.plan.dependencies import displaced, dragging, ground, in_the_way, objection
from holdfast.cluster.plan.evidence import data_current, takeover
from holdfast.cluster.plan.local import faulted_critically, propagates, stopped_on_purpose
from holdfast.cluster.plan.placement import Placement, first_choice, place
from holdfast.cluster.plan.view import Ask, AskKind, Change, Decision, View
from holdfast.kernel.errors import Refusal

_NO_REFUSAL = Refusal("", "")


def decide_group(view: View, group: Group) -> Decision:
    """Return what to do about ``group`` now; nothing when facts equal intent."""
    intent = view.intent(group)
    if intent.in_maintenance and view.now >= intent.maintenance_until:
        ended = replace(intent, maintenance_until=0.0, overrides={}, serial=intent.serial + 1)
        return _change(view, ended, "maintenance-ended", "maintenance has passed its deadline")
    if intent.frozen or group.flag("Frozen"):
        return _frozen(view, group, intent)
    if intent.spared == SPARED:
        thawed = replace(intent, spared=intent.serial + 1, serial=intent.serial + 1)
        return _change(view, thawed, "thawed", f"{group.name} is frozen no longer")
    if intent.in_maintenance:
        left_s = intent.maintenance_until - view.now
        return _note(group, "maintenance", f"in maintenance for another {left_s:.0f} s")
    settled = widearea.settle(view, group, intent)
    if settled is not None:
        return settled
    return widearea.elsewhere(view, group, intent, _in_this_cluster(view, group, intent))


def _in_this_cluster(view: View, group: Group, intent: Intent) -> Decision:
    owner = view.system(intent.owner)
    if not intent.owner:
        return _first_start(view, group, intent)
    if owner.life is Life.UNCERTAIN:
        return _note(group, "waiting", f"nothing is known of {intent.owner} yet")
    if owner.life is Life.DEAD:
        return _owner_dead(view, group, intent)
    if owner.incarnation != intent.incarnation:
        return _owner_returned(view, group, intent)
    if intent.wanted is Wanted.ONLINE:
        return _running(view, group, intent)
    if intent.following:
        return _hand_over(view, group, intent)
    return _rejoin(view, group, intent) if intent.kept_down else Decision()


def _frozen(view: View, group: Group, intent: Intent) -> Decision:
    owner = view.system(intent.owner)
    if intent.owner and intent.spared != SPARED:
        spared = replace(intent, spared=SPARED, serial=intent.serial + 1)
        return _change(view, spared, "frozen", f"{group.name} is frozen by its configuration")
    if intent.owner and owner.life is Life.ALIVE and owner.incarnation != intent.incarnation:
        fact = view.fact(group.name, intent.owner)
        if fact is not None and fact.probed:
            bound = replace(intent, incarnation=owner.incarnation, serial=intent.serial + 1)
            return _change(view, bound, "rebound", f"{intent.owner} came back; the frozen group stays there")
    return _note(group, "frozen", "the group is frozen: nothing is planned or done for it")


def _first_start(view: View, group: Group, intent: Intent) -> Decision:
    able = [name for name in group.priorities if group.flag("Enabled", name)]
    waiting = [name for name in group.priorities if view.system(name).life is Life.UNCERTAIN]
    unprobed = [name for name in able if view.alive(name) and not _probed(view, group, name)]
    if waiting or unprobed:
        text = f"waiting to hear of {', '.join(waiting)}" if waiting else f"probing on {', '.join(unprobed)}"
        return _note(group, "probing", text)
    running = view.running_on(group)
    if running:
        found = Evidence(EvidenceKind.FIRST_START, f"found online on {running[0]}, and no earlier owner is recorded")
        return _give(view, group, intent, running[0], found, f"found online on {running[0]}")
    if not group.flag("AutoStart") or not group.autostart_list:
        return Decision()
    placement = place(view, group)
    target = first_choice(view, group, placement)
    if not target:
        rejected = {name: placement.rejected.get(name, "not a candidate") for name in group.autostart_list}
        return _note(group, "no-target", "no system of AutoStartList can run the group", rejected=rejected)
    evidence = Evidence(EvidenceKind.FIRST_START, "probed offline everywhere, and no earlier owner is recorded")
    return _give(view, group, intent, target, evidence, "started automatically")


def _probed(view: View, group: Group, system: str) -> bool:
    fact = view.fact(group.name, system)
    return fact is not None and fact.probed


def _owner_dead(view: View, group: Group, intent: Intent) -> Decision:
    if intent.wanted is Wanted.OFFLINE and not intent.following and not intent.kept_down:
        return Decision()
    if view.system(intent.owner).how is Departure.WAITS and not intent.following:
        text = f"{intent.owner} was stopped by a person; the group waits for it"
        return _note(group, "stopped", text, f"start it there, or: holdfast group online {group.name} --system SYSTEM")
    if group.at:
        return _note(group, "gone", f"{intent.owner} is dead; its part of the group comes back with it")
    if not group.flag("AutoFailOver") and not intent.following:
        return _note(group, "no-failover", f"{intent.owner} is dead, and AutoFailOver is 0")
    placement = _prefer(
        place(view, group, near=intent.owner, avoid=frozenset({intent.owner})),
        intent.following,
        alone=intent.accept_data_loss,
    )
    rejected, first = dict(placement.rejected), Refusal("", "")
    for target in placement.candidates:
        proof = takeover(view, group, intent, target)
        if proof.asks:
            return Decision(asks=proof.asks)
        if proof.evidence is not None:
            reason = f"{intent.owner} is dead"
            return _give(view, group, replace(intent, cause=intent.owner), target, proof.evidence, reason, rejected)
        assert proof.refusal is not None
        rejected[target] = proof.refusal.reason
        first = first if first.code else proof.refusal
    if first.code:
        return _note(group, first.code, first.reason, first.remedy, rejected)
    return _note(group, "no-target", f"{intent.owner} is dead and no other system can run the group", rejected=rejected)


def _prefer(placement: Placement, system: str, alone: bool) -> Placement:
    if not system or system not in placement.candidates:
        return placement
    others = tuple(name for name in placement.candidates if name != system)
    return replace(placement, candidates=(system,) if alone else (system, *others))


def _owner_returned(view: View, group: Group, intent: Intent) -> Decision:
    fact = view.fact(group.name, intent.owner)
    if fact is None or not fact.probed:
        return _note(group, "probing", f"{intent.owner} came back under a new incarnation and is probed")
    if not fact.offline:
        return _note(group, "cleaning", f"{intent.owner} takes down what its earlier incarnation left behind")
    target = intent.following if intent.following and view.alive(intent.following) else intent.owner
    if intent.wanted is Wanted.OFFLINE and not intent.following:
        bound = replace(intent, incarnation=view.system(intent.owner).incarnation, serial=intent.serial + 1)
        return _change(view, bound, "rebound", f"{intent.owner} came back; the group stays offline")
    lacking = objection(view, group, target)
    if lacking:
        bound = replace(intent, incarnation=view.system(intent.owner).incarnation, following="")
        return _keep_down(view, group, bound, lacking)
    text = f"{intent.owner} came back and found the group offline; its guard had killed the earlier incarnation"
    evidence = Evidence(EvidenceKind.OFFLINE_CONFIRMED, text, intent.owner, intent.incarnation)
    return _give(view, group, intent, target, evidence, f"{intent.owner} came back")


def _hand_over(view: View, group: Group, intent: Intent) -> Decision:
    fact = view.fact(group.name, intent.owner)
    if fact is None or fact.serial < intent.serial or not fact.offline:
        failing = [] if fact is None else [name for name, each in fact.resources.items() if each.clean_failing]
        text = f"waiting until {intent.owner} confirms that the group is offline"
        return _note(group, "stopping", f"{text}; {failing[0]} cannot be cleaned" if failing else text)
    evidence = _confirmed(intent)
    wished = place(view, group, only=intent.following)
    if wished.target:
        return _give(view, group, intent, wished.target, evidence, intent.reason)
    back = place(view, group, near=intent.owner)
    if not back.target:
        return _note(group, "no-target", "no system can run the group", rejected=back.rejected)
    reason = f"{intent.following} cannot take it: {wished.rejected.get(intent.following, 'unknown')}"
    return _give(view, group, intent, back.target, evidence, reason)


def _rejoin(view: View, group: Group, intent: Intent) -> Decision:
    """Bring back a group that was taken down for another's sake, where and when its links allow it."""
    fact = view.fact(group.name, intent.owner)
    if fact is None or fact.serial < intent.serial or not fact.offline:
        return _note(group, "stopping", f"waiting until {intent.owner} confirms that the group is offline")
    placement = place(view, group, near=intent.owner, only="" if group.flag("AutoFailOver") else intent.owner)
    choice = _choose(view, group, intent, _prefer(placement, intent.owner, alone=False))
    if choice.asks:
        return Decision(asks=choice.asks)
    if not choice.target:
        text = f"kept offline for the sake of group {intent.kept_down}"
        return _note(group, "waiting-for-group", text, choice.refusal.remedy, choice.rejected)
    reason = f"group {intent.kept_down} allows it again"
    return _give(view, group, intent, choice.target, _confirmed(intent), reason, choice.rejected)


def _running(view: View, group: Group, intent: Intent) -> Decision:
    fact = view.fact(group.name, intent.owner)
    if fact is None or fact.serial < intent.serial:
        return Decision()
    away = displaced(view, group, intent)
    if away is not None and away.follows:
        return _follow(view, group, intent, away.reason)
    if away is not None:
        return _keep_down(view, group, intent, away.reason, away.child)
    waiting = [name for name, each in fact.resources.items() if each.admin_wait is not None]
    if waiting:
        text = f"{waiting[0]} waits for an administrator on {intent.owner}: {fact.resources[waiting[0]].detail}"
        return _note(group, "admin-wait", text, f"holdfast group clearadminwait {group.name}")
    culprit = faulted_critically(group, fact.resources)
    if culprit and propagates(group):
        return _faulted(view, group, intent, culprit)
    if culprit:
        return _note(group, "faulted", f"{culprit} faulted on {intent.owner}, and FaultPropagation is 0")
    meant = stopped_on_purpose(group, fact.resources)
    if meant:
        return _obey(view, group, intent, meant)
    above = dragging(view, group, intent)
    if above is not None:
        return _dragged(view, group, intent, above)
    return _odds(view, group, intent, fact)


def _obey(view: View, group: Group, intent: Intent, resource: str) -> Decision:
    """Somebody stopped what the group is for, from outside: the group goes offline, and nothing has faulted."""
    reason = f"{resource} was stopped on purpose on {intent.owner}"
    down = replace(intent, wanted=Wanted.OFFLINE, overrides={}, reason=reason, serial=intent.serial + 1)
    return _change(view, down, "intentional-offline", f"{group.name} goes offline on {intent.owner}: {reason}")


def _odds(view: View, group: Group, intent: Intent, fact: GroupFact) -> Decision:
    """Say what is odd about a group that runs: trigger, clean, a second system that runs it too."""
    if fact.barred:
        text = f"nothing starts on {intent.owner}: {fact.barred}"
        return _note(group, "barred", text, f"holdfast group online {group.name} --nopre")
    failing = [name for name, each in fact.resources.items() if each.clean_failing]
    if failing:
        return _note(group, "cleaning", f"{failing[0]} cannot be cleaned on {intent.owner}")
    extra = [name for name in view.running_on(group) if name != intent.owner]
    if extra:
        text = f"it belongs to {intent.owner} and was found online on {extra[0]} too; it is taken offline there"
        return _note(group, "violation", f"concurrency violation: {text}")
    return Decision()


def _follow(view: View, group: Group, intent: Intent, reason: str) -> Decision:
    """Move a soft-linked parent to where its child is, if it can run there; else it stays where it is."""
    choice = _choose(view, group, intent, place(view, group, near=intent.owner, avoid=frozenset({intent.owner})))
    if choice.asks:
        return Decision(asks=choice.asks)
    if not choice.target:
        text = f"{reason}, but no system where that is can run it: it stays on {intent.owner}"
        return _note(group, "stays-behind", text, choice.refusal.remedy, choice.rejected)
    moved = replace(intent, wanted=Wanted.OFFLINE, following=choice.target, reason=reason, serial=intent.serial + 1)
    return _change(view, moved, "follows", f"{group.name} leaves {intent.owner} for {choice.target}: {reason}")


def _faulted(view: View, group: Group, intent: Intent, culprit: str) -> Decision:
    fact = view.fact(group.name, intent.owner)
    if fact is None or not fact.offline:
        return _note(group, "faulted", f"{culprit} faulted on {intent.owner}; the group is taken offline there first")
    again = _retried(view, group, intent, culprit)
    if again is not None:
        return again
    if group.at:
        text = f"{culprit} faulted on {intent.owner}; a parallel group does not fail over"
        return _note(group, "faulted", text, f"mend {culprit}, then: holdfast group clear {group.name}")
    if not group.flag("AutoFailOver"):
        return _note(group, "no-failover", f"{culprit} faulted on {intent.owner}, and AutoFailOver is 0")
    choice = _choose(view, group, intent, place(view, group, near=intent.owner, avoid=frozenset({intent.owner})))
    if choice.asks:
        return Decision(asks=choice.asks)
    if choice.target:
        text = f"{intent.owner} confirmed every resource offline after {culprit} faulted"
        evidence = Evidence(EvidenceKind.OFFLINE_CONFIRMED, text, intent.owner, intent.incarnation)
        reason = f"{culprit} faulted on {intent.owner}"
        moved = replace(intent, cause=intent.owner)
        return _give(view, group, moved, choice.target, evidence, reason, choice.rejected)
    if group.resources[culprit].persistent and not group.number("AutoRestart"):
        reason = f"{culprit} faulted on {intent.owner}, and AutoRestart is 0"
        down = replace(intent, wanted=Wanted.OFFLINE, reason=reason, serial=intent.serial + 1)
        return _change(view, down, "no-restart", f"{group.name} stays offline: {reason}")
    text = f"{culprit} faulted and no system can take the group"
    return _note(group, choice.refusal.code or "no-target", text, choice.refusal.remedy, choice.rejected)


def _retried(view: View, group: Group, intent: Intent, culprit: str) -> Decision | None:
    """Start a faulted group again where it is, as often as OnlineRetryLimit allows; None when it is to go elsewhere.

    One that faults again within OnlineRetryInterval of such a start has not recovered; after it, counting begins anew.
    """
    limit, interval_s = group.number("OnlineRetryLimit"), group.number("OnlineRetryInterval")
    soon = view.now - intent.retried_at < interval_s
    retries = intent.retries if soon or not interval_s else 0
    if retries >= limit or (soon and retries) or group.resources[culprit].persistent:
        return None
    key = f"{intent.owner}:*"
    clears = {**intent.clears, key: intent.clears.get(key, 0) + 1}
    reason = f"{culprit} faulted; start {retries + 1} of {limit} in place"
    again = replace(
        intent, clears=clears, retries=retries + 1, retried_at=view.now, reason=reason, serial=intent.serial + 1,
        cause=intent.owner,
    )  # fmt: skip
    return _change(view, again, "retried", f"{group.name} starts again on {intent.owner}: {reason}")


def _dragged(view: View, group: Group, intent: Intent, parent: Group) -> Decision:
    """Move a child whose hard-linked parent faulted to where both can be; stay when there is no such system."""
    placement = place(view, group, near=intent.owner, avoid=frozenset({intent.owner}))
    fit = tuple(name for name in placement.candidates if name in parent.priorities and _fit(view, parent, name))
    choice = _choose(view, group, intent, replace(placement, candidates=fit))
    if choice.asks or not choice.target:
        return Decision(asks=choice.asks)
    reason = f"group {parent.name} faulted on {intent.owner} and takes {group.name} along"
    moved = replace(intent, wanted=Wanted.OFFLINE, following=choice.target, reason=reason, serial=intent.serial + 1)
    return _change(view, moved, "follows", f"{group.name} leaves {intent.owner} for {choice.target}: {reason}")


def _fit(view: View, group: Group, system: str) -> bool:
    fact = view.fact(group.name, system)
    return fact is not None and fact.probed and not faulted_critically(group, fact.resources)


@dataclass(frozen=True, slots=True)
class _Choice:
    """The first candidate that the data allows; or what must be asked; or why there is none."""

    target: str = ""
    asks: tuple[Ask, ...] = ()
    refusal: Refusal = _NO_REFUSAL
    rejected: Mapping[str, str] = field(default_factory=dict)


def _choose(view: View, group: Group, intent: Intent, placement: Placement) -> _Choice:
    """Pass over candidates at another site whose data is not recorded as current."""
    rejected, first = dict(placement.rejected), Refusal("", "")
    for target in placement.candidates:
        if group.same_zone(intent.owner, target):
            return _Choice(target, rejected=rejected)
        proof = data_current(view, group, intent, target)
        if proof.asks:
            return _Choice(asks=proof.asks)
        if proof.refusal is None:
            return _Choice(target, rejected=rejected)
        rejected[target] = proof.refusal.reason
        first = first if first.code else proof.refusal
    return _Choice(refusal=first, rejected=rejected)


def _keep_down(view: View, group: Group, intent: Intent, reason: str, child: str = "") -> Decision:
    name = child or next((link.child for link in group.group_links), "")
    down = replace(intent, wanted=Wanted.OFFLINE, kept_down=name, reason=reason, serial=intent.serial + 1)
    return _change(view, down, "kept-down", f"{group.name} goes offline on {intent.owner}: {reason}")


def _confirmed(intent: Intent) -> Evidence:
    text = f"{intent.owner} confirmed every resource offline"
    return Evidence(EvidenceKind.OFFLINE_CONFIRMED, text, intent.owner, intent.incarnation)


def _make_way(view: View, group: Group, other: Group, target: str) -> Decision:
    """``other`` must not be where ``group`` comes to: it goes first."""
    theirs = view.intent(other)
    if theirs.frozen or theirs.in_maintenance or other.flag("Frozen"):
        text = f"group {other.name} must not be where {group.name} is, is on {target}, and is frozen or in maintenance"
        return _note(group, "no-target", text, f"unfreeze {other.name}, or move it away")
    if theirs.owner == target and theirs.wanted is Wanted.ONLINE:
        return _keep_down(view, other, theirs, f"group {group.name} comes to {target}", group.name)
    return _note(group, "waiting", f"waiting until group {other.name} is offline on {target}")


def _give(
    view: View,
    group: Group,
    intent: Intent,
    target: str,
    evidence: Evidence,
    reason: str,
    rejected: Mapping[str, str] | None = None,
) -> Decision:
    elsewhere = [name for name in view.running_on(group) if name not in (target, intent.owner)]
    if elsewhere:
        return _note(group, "not-offline", f"the group is not offline on {elsewhere[0]}; it is taken down there first")
    for other in in_the_way(view, group, target):
        return _make_way(view, group, other, target)
    incarnation = view.system(target).incarnation
    if group.name in view.fenced:
        ask = Ask(AskKind.ADMIT, group.name, target, incarnation)
        if ask not in view.answers:
            return Decision(asks=(ask,))
        answer = view.answers[ask]
        if isinstance(answer, Refusal):
            return _note(group, answer.code, f"{target} gets no access to the data: {answer.reason}", answer.remedy)
    given = replace(
        intent, owner=target, incarnation=incarnation, wanted=Wanted.ONLINE, serial=intent.serial + 1,
        evidence=evidence, following="", reason=reason, overrides={}, accept_data_loss=False, kept_down="",
        ground=ground(view, group), loose=(), retries=0, spared=0,
    )  # fmt: skip
    passed = "".join(f"; not {name}: {why}" for name, why in (rejected or {}).items())
    text = f"{group.name} goes to {target}: {reason}; evidence: {evidence.kind.value}, {evidence.text}{passed}"
    return _change(view, given, "placed", text, rejected)


def _change(view: View, intent: Intent, kind: str, text: str, rejected: Mapping[str, str] | None = None) -> Decision:
    change = Change(replace(intent, epoch=view.epoch), kind, text, rejected=dict(rejected or {}))
    return Decision(changes=(change,), notes=(Note(intent.unit),))


def _note(group: Group, code: str, text: str, remedy: str = "", rejected: Mapping[str, str] | None = None) -> Decision:
    return Decision(notes=(Note(group.unit, code, text, remedy, dict(rejected or {})),))
