"""Global groups: which cluster may run one, how the right passes on, and what is done when a cluster falls silent.

A group of which this cluster holds the authority is planned as any other; :func:`settle` is asked first and answers for
everything else. The authority moves in three ways: handed over (offline here, counter raised, named heir takes it),
claimed by a person or a stated policy after the other cluster fell silent, and yielded to a later claim when links
return. Equal claims are a split brain: nothing is planned until a person decides. No claim is made here by itself
unless ClusterFailOverPolicy says so, and never with data that is not recorded as current.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from holdfast.cluster.model.configuration import Configuration, Group
from holdfast.cluster.model.facts import Intent, Life, Note, Request, Wanted
from holdfast.cluster.model.widearea import Authority, RemoteCluster, RemoteState
from holdfast.cluster.plan.evidence import data_current, takeover
from holdfast.cluster.plan.grouptransfers import online
from holdfast.cluster.plan.placement import place
from holdfast.cluster.plan.view import Ask, Change, Decision, View
from holdfast.kernel.errors import Refusal

SILENT = (RemoteState.FAULTED, RemoteState.LOST_CONN, RemoteState.EXITED)
"""States in which a person may declare what became of a cluster."""
REACHED = (RemoteState.RUNNING, RemoteState.LOST_HB)


def members(configuration: Configuration, group: Group) -> tuple[str, ...]:
    """Return the other clusters of a group's ClusterList, in its order; empty for a group of this cluster alone."""
    listed = group.get("ClusterList")
    names = listed if isinstance(listed, tuple) else tuple(listed) if not isinstance(listed, str | int) else ()
    return tuple(name for name in names if name != configuration.name)


def authority(view: View, group: Group) -> Authority:
    """Return this cluster's word on the authority: the recorded one, else what the configuration begins with."""
    return view.authorities.get(group.name) or Authority(group.name, group.flag("Authority"))


def settle(view: View, group: Group, intent: Intent) -> Decision | None:
    """Return what is to be done about a global group, or None when it is planned as any other group."""
    others = members(view.configuration, group)
    if not others:
        return None
    mine = authority(view, group)
    rival, theirs = _latest(view, group, others)
    if theirs.counter > mine.counter:
        return _take(view, mine, rival, theirs) if theirs.to == view.configuration.name else _yield(view, mine, rival)
    if theirs.held and mine.held and theirs.counter == mine.counter:
        return _split_brain(view, group, rival)
    if not mine.held:
        return _elsewhere(view, group, intent, mine, rival, theirs)
    if mine.to:
        return _leave(view, group, intent, mine)
    if mine.start:
        return _start(view, group, intent, mine)
    return _wait_for_links(view, group, intent, others)


def elsewhere(view: View, group: Group, intent: Intent, decision: Decision) -> Decision:
    """Hand a group over that cannot run in this cluster, if its policy is Connected or Auto and one is reached."""
    mine = authority(view, group)
    if group.get("ClusterFailOverPolicy") == "Manual" or not any(note.code == "no-target" for note in decision.notes):
        return decision
    for name in members(view.configuration, group):
        if mine.held and _remote(view, name).state in REACHED:
            text = f"{group.name} cannot run in this cluster; its policy sends it to cluster {name}"
            down = replace(intent, wanted=Wanted.OFFLINE, following="", reason=text, serial=intent.serial + 1)
            changes = (Change(replace(down, epoch=view.epoch), "offline", text),) if intent.owner else ()
            return Decision(changes=changes, authorities=(replace(mine, to=name, reason=text),))
    return decision


def _remote(view: View, name: str) -> RemoteCluster:
    return view.remotes.get(name) or RemoteCluster(name)


def _claims(view: View, group: Group, others: tuple[str, ...]) -> Iterator[tuple[str, Authority]]:
    for name in others:
        summary = _remote(view, name).summary
        found = None if summary is None else summary.groups.get(group.name)
        if found is not None:
            yield name, found.authority


def _latest(view: View, group: Group, others: tuple[str, ...]) -> tuple[str, Authority]:
    """The other clusters' claim with the highest counter; of equal ones a held one."""
    none = ("", Authority(group.name, False, -1))
    return max(_claims(view, group, others), key=lambda one: (one[1].counter, one[1].held), default=none)


def _take(view: View, mine: Authority, giver: str, theirs: Authority) -> Decision:
    text = f"cluster {giver} handed the authority over: {theirs.reason}"
    taken = Authority(
        mine.group, True, theirs.counter, "", theirs.system, True, theirs.accept_data_loss, theirs.by, text
    )
    return Decision(authorities=(taken,))


def _yield(view: View, mine: Authority, rival: str) -> Decision:
    theirs = next(one for name, one in _claims_of(view, mine.group) if name == rival)
    text = f"the authority is at cluster {rival}: {theirs.reason}" if theirs.held else f"as cluster {rival} says"
    return Decision(authorities=(Authority(mine.group, False, theirs.counter, reason=text),))


def _claims_of(view: View, name: str) -> Iterator[tuple[str, Authority]]:
    group = view.configuration.groups[name]
    yield from _claims(view, group, members(view.configuration, group))


def _split_brain(view: View, group: Group, rival: str) -> Decision:
    text = f"cluster {rival} and this one both hold the authority over {group.name}: nothing is planned for it"
    remedy = f"where it is to run: holdfast group authority {group.name} take"
    return _note(group, "split-brain", text, remedy)


def _elsewhere(view: View, group: Group, intent: Intent, mine: Authority, rival: str, theirs: Authority) -> Decision:
    """The authority is not here: the group goes or stays down, and a silent holder is somebody's business."""
    if (intent.owner and intent.wanted is Wanted.ONLINE) or intent.following:
        text = f"{group.name} goes offline: {mine.reason or 'its authority is not in this cluster'}"
        down = replace(intent, wanted=Wanted.OFFLINE, following="", kept_down="", overrides={}, reason=text)
        down = replace(down, serial=intent.serial + 1, epoch=view.epoch)
        return Decision(changes=(Change(down, "yielded", text),), notes=(Note(group.unit),))
    if mine.to and not theirs.held:
        return _heir(view, group, mine)
    if not theirs.held or not rival:
        remedy = f"holdfast group authority {group.name} take"
        known = _remote(view, rival).summary is not None if rival else False
        return _note(group, "no-authority", "no cluster holds the authority", remedy) if known else Decision()
    remote = _remote(view, rival)
    if remote.state not in SILENT:
        return Decision()
    policy = str(group.get("ClusterFailOverPolicy"))
    remedy = f"holdfast cluster declare {rival} disaster --failover --reason TEXT"
    told = f"cluster {rival}, which holds the authority over {group.name}, is {remote.state.value}"
    if policy != "Auto" or remote.state is not RemoteState.FAULTED:
        return _note(group, "cluster-down", told, remedy)
    claim = claimed(view, group, intent, "", f"{told}; ClusterFailOverPolicy is Auto", False)
    if isinstance(claim, Refusal):
        return _note(group, "cluster-down", f"{told}, and cannot be followed: {claim.reason}", remedy)
    if isinstance(claim, Authority):
        return Decision(authorities=(claim,))
    return Decision(asks=claim)


def _heir(view: View, group: Group, mine: Authority) -> Decision:
    """Wait until the heir has taken what was handed over."""
    state = _remote(view, mine.to).state
    text = f"the authority over {group.name} was handed to cluster {mine.to}, which is {state.value}"
    return _note(group, "handed-over", text, f"to have it back: holdfast group authority {group.name} take")


def claimed(
    view: View, group: Group, intent: Intent, by: str, reason: str, accept_data_loss: bool
) -> Authority | Refusal | tuple[Ask, ...]:
    """Return the claim of a group whose holder is silent, if a system here can run it with data that is current."""
    placement = place(view, group)
    refusal = Refusal("no-target", "; ".join(f"{name}: {why}" for name, why in placement.rejected.items()))
    for target in placement.candidates:
        proof = data_current(view, group, replace(intent, accept_data_loss=accept_data_loss, reason=reason), target)
        if proof.asks:
            return proof.asks
        if proof.refusal is None:
            counter = max([authority(view, group).counter, *(one.counter for _, one in _claims_of(view, group.name))])
            return Authority(group.name, True, counter + 1, "", target, True, accept_data_loss, by, reason)
        remedy = f"bring cluster or array back, or accept the loss: add --accept-data-loss ({target})"
        refusal = Refusal(proof.refusal.code, proof.refusal.reason, remedy)
    return refusal


def _leave(view: View, group: Group, intent: Intent, mine: Authority) -> Decision:
    """Give the authority away once the group is proven offline here; keep it if the heir has gone meanwhile."""
    if _remote(view, mine.to).state not in REACHED:
        text = f"cluster {mine.to} is {_remote(view, mine.to).state.value}: {group.name} stays"
        return Decision(authorities=(replace(mine, to="", system="", start=True, reason=text),))
    owner = view.system(intent.owner)
    given = replace(mine, held=False, counter=mine.counter + 1)
    if not intent.owner:
        return Decision(authorities=(given,))
    if owner.life is Life.DEAD:
        proof = takeover(view, group, intent, intent.owner)
        if proof.asks:
            return Decision(asks=proof.asks)
        if proof.refusal is not None:
            return _note(group, proof.refusal.code, proof.refusal.reason, proof.refusal.remedy)
        return Decision(authorities=(given,))
    fact = view.fact(group.name, intent.owner)
    if fact is None or fact.serial < intent.serial or not fact.offline:
        return _note(group, "stopping", f"waiting until {intent.owner} confirms that the group is offline")
    return Decision(authorities=(given,))


def _start(view: View, group: Group, intent: Intent, mine: Authority) -> Decision:
    """Bring a group online to which this cluster has just got the authority."""
    if (intent.owner and intent.wanted is Wanted.ONLINE) or intent.following:
        return Decision(authorities=(replace(mine, start=False),))
    if any(view.system(name).life is Life.UNCERTAIN for name in group.priorities):
        return _note(group, "probing", f"waiting to hear of the systems of {group.name}")
    placement = place(view, group, only=mine.system)
    placement = placement if placement.candidates else place(view, group)
    refusal = Refusal("no-target", "no system of this cluster can run the group")
    for target in placement.candidates:
        proof = data_current(view, group, replace(intent, accept_data_loss=mine.accept_data_loss), target)
        if proof.asks:
            return Decision(asks=proof.asks)
        if proof.refusal is None:
            wish = Request("", "group.online", group.name, system=target, by=mine.by)
            done = online(view, group, intent, wish)
            if done.changes:
                return Decision(changes=done.changes, authorities=(replace(mine, start=False),))
            told = "" if done.request is None else done.request.reason
            proof = replace(proof, refusal=Refusal("no-target", told))
        assert proof.refusal is not None
        refusal = proof.refusal
    return _note(group, refusal.code, refusal.reason, refusal.remedy)


def _wait_for_links(view: View, group: Group, intent: Intent, others: tuple[str, ...]) -> Decision | None:
    """Let nothing start by itself before this coordinator has heard from the other clusters who runs the group."""
    owner = view.system(intent.owner)
    runs = bool(intent.owner) and owner.life is Life.ALIVE and owner.incarnation == intent.incarnation
    unheard = [name for name in others if not (_remote(view, name).met and _remote(view, name).epoch == view.epoch)]
    if runs or intent.following or not unheard:
        return None
    text = f"{group.name} may run in cluster {unheard[0]}, which this one has not reached since it started"
    return _note(group, "waiting-for-cluster", text, f"if it does not run there: holdfast group online {group.name}")


def _note(group: Group, code: str, text: str, remedy: str = "") -> Decision:
    return Decision(notes=(Note(group.unit, code, text, remedy),))
