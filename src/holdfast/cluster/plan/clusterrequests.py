"""What people ask of global groups: send one to another cluster, take its authority, say that a cluster is lost."""

from __future__ import annotations

from dataclasses import replace

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Intent, Request, RequestState, Wanted
from holdfast.cluster.model.widearea import DECLARATIONS, Authority, Declaration, RemoteCluster
from holdfast.cluster.plan.outcome import Outcome, accept, done, option, refuse, refused
from holdfast.cluster.plan.view import Ask, View
from holdfast.cluster.plan.widearea import REACHED, SILENT, authority, claimed, members
from holdfast.kernel.errors import Refusal


def objection(view: View, group: Group, request: Request) -> Outcome | None:
    """Refuse to start or move a global group without the authority; None when nothing speaks against the request."""
    others = members(view.configuration, group)
    if not others or request.operation not in ("group.online", "group.switch", "group.takeover", "resource.online"):
        return None
    mine = authority(view, group)
    if not mine.held:
        holder = next((name for name in others if _holds(view, name, group)), "")
        text = f"the authority over {group.name} is at cluster {holder}" if holder else "the authority is not here"
        return refuse(request, "no-authority", text, f"there: holdfast group switch {group.name} --cluster "
                      f"{view.configuration.name}; if that cluster is lost: holdfast cluster declare")  # fmt: skip
    if mine.to:
        return refuse(request, "handing-over", f"{group.name} is on its way to cluster {mine.to}", "wait for it")
    return None


def _holds(view: View, name: str, group: Group) -> bool:
    summary = view.remotes.get(name, RemoteCluster(name)).summary
    found = None if summary is None else summary.groups.get(group.name)
    return found is not None and found.authority.held


def switch(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Send a group to another cluster: offline here, then the authority goes, then it comes online there."""
    name = request.options["cluster"]
    if name not in members(view.configuration, group):
        return refuse(request, "no-cluster", f"{name} is not in the ClusterList of {group.name}", "add it there first")
    remote = view.remotes.get(name, RemoteCluster(name))
    if remote.state not in REACHED or remote.summary is None:
        return refuse(request, "cluster-unreachable", f"cluster {name} is {remote.state.value}", "see cluster remotes")
    there = remote.summary.groups.get(group.name)
    if there is None or (request.system and request.system not in there.systems):
        what = group.name if there is None else f"a system {request.system!r} for {group.name}"
        return refuse(request, "no-system", f"cluster {name} has no {what}", "correct the name")
    if there.frozen:
        return refuse(request, "frozen", f"group {group.name} is frozen in cluster {name}", "unfreeze it there")
    if intent.wanted is not Wanted.ONLINE:
        return refuse(request, "offline", f"{group.name} is not online", f"holdfast group online {group.name}")
    text = f"switch to cluster {name} asked for by a person"
    mine = replace(authority(view, group), to=name, system=request.system, start=False, by=request.by, reason=text)
    down = replace(intent, wanted=Wanted.OFFLINE, following="", kept_down="", overrides={}, loose=(), reason=text)
    down = replace(down, serial=intent.serial + 1)
    asked = accept(view, request, down, "switch", f"{group.name} leaves {intent.owner} for cluster {name}")
    return replace(asked, authorities=(mine,))


def progress(view: View, request: Request) -> Request | None:
    """Return a switch between clusters as finished, or None while it is under way."""
    name = request.options["cluster"]
    group = view.configuration.groups[request.group]
    mine = authority(view, group)
    remote = view.remotes.get(name, RemoteCluster(name))
    there = None if remote.summary is None else remote.summary.groups.get(group.name)
    if mine.held and not mine.to:
        return refused(request, "not-given", f"{group.name} stays in this cluster: {mine.reason}")
    if mine.held or there is None or there.authority.counter < mine.counter or not there.authority.held:
        return None
    if there.online:
        return done(request, f"{group.name} is online on {there.owner} in cluster {name}")
    if there.code in ("no-target", "data-not-current", "not-admitted"):
        return refused(request, there.code, f"in cluster {name}: {there.text}", f"see group state there ({name})")
    return None


def take_authority(view: View, group: Group, _intent: Intent, request: Request) -> Outcome:
    """Let this cluster hold the authority by a person's decision (``mode`` take), or give it up (release)."""
    mine, others = authority(view, group), members(view.configuration, group)
    if not others:
        return refuse(request, "not-global", f"{group.name} is in no other cluster", "set its ClusterList first")
    if request.options.get("mode") == "release":
        return _settled(request, replace(mine, held=False, counter=mine.counter + 1, to="", reason=_why(request)))
    for name in others:
        remote = view.remotes.get(name, RemoteCluster(name))
        there = None if remote.summary is None else remote.summary.groups.get(group.name)
        if there is not None and there.online and remote.state in REACHED and not mine.held:
            text = f"{group.name} is online in cluster {name}"
            return refuse(request, "not-offline", text, f"there: holdfast group offline {group.name}")
    seen = [
        remote.summary.groups[group.name].authority.counter
        for remote in view.remotes.values()
        if remote.summary is not None and group.name in remote.summary.groups
    ]
    return _settled(request, Authority(group.name, True, max([mine.counter, *seen]) + 1, reason=_why(request)))


def _settled(request: Request, one: Authority) -> Outcome:
    return Outcome(request=done(request), authorities=(replace(one, by=request.by),))


def _why(request: Request) -> str:
    return f"{request.by or 'a person'}: {request.options.get('reason', '')}".removesuffix(": ")


def declare(view: View, request: Request) -> Outcome:
    """Record what became of a silent cluster; with ``failover`` claim the groups of which it holds the authority."""
    name, kind = request.options.get("cluster", ""), request.options.get("kind", "")
    if name not in view.configuration.remote_clusters:
        known = ", ".join(view.configuration.remote_clusters) or "none"
        return refuse(request, "no-cluster", f"{name!r} is not a remote cluster; known: {known}", "correct the name")
    if kind not in DECLARATIONS:
        return refuse(request, "no-declaration", f"{kind!r} is none of {', '.join(DECLARATIONS)}", "correct the word")
    remote = view.remotes.get(name, RemoteCluster(name))
    if remote.state not in SILENT:
        text = f"cluster {name} is {remote.state.value}: only one that is silent can be declared lost"
        return refuse(request, "cluster-alive", text, f"to move a group: holdfast group switch GROUP --cluster {name}")
    said = Declaration(name, kind, request.by, _why(request))
    if not option(request, "failover"):
        return Outcome(request=done(request), declarations=(said,))
    return _failover(view, request, said)


def _failover(view: View, request: Request, said: Declaration) -> Outcome:
    claims: list[Authority] = []
    asks: list[Ask] = []
    refusals: list[tuple[str, Refusal]] = []
    reason = f"cluster {said.cluster} was declared lost ({said.kind}) by {said.reason}"
    for group in view.configuration.groups.values():
        if said.cluster not in members(view.configuration, group) or authority(view, group).held:
            continue
        if view.intent(group).frozen or group.flag("Frozen"):
            refusals.append((group.name, Refusal("frozen", "it is frozen here")))
            continue
        found = claimed(view, group, view.intent(group), request.by, reason, option(request, "accept_data_loss"))
        if isinstance(found, Authority):
            claims.append(found)
        elif isinstance(found, Refusal):
            refusals.append((group.name, found))
        else:
            asks += found
    if asks:
        return Outcome(asks=tuple(asks))
    if refusals and not claims:
        name, first = refusals[0]
        return refuse(request, first.code, f"{name}: {first.reason}", first.remedy)
    output = "\n".join([f"{one.group}: claimed" for one in claims] + [f"{n}: {no.reason}" for n, no in refusals])
    assert all(one.counter > 0 for one in claims)
    ended = replace(request, state=RequestState.DONE, output=output or "no global group had its authority there")
    return Outcome(request=ended, authorities=tuple(claims), declarations=(said,))
