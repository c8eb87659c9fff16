"""The promises, looked at whenever something happens that could break one. The truth is the hosts' services and the
store's history, never what a daemon believes.

==================  ==================================================================================================
one owner           no two systems run a failover group at once, unless one of them is cut off from its data
children first      nothing goes online before what it needs is up (or went down by itself, before anyone could know)
hands off           a frozen group is neither moved, started nor stopped; its guard spares it
word kept           an intent that was acknowledged stays until another decision takes its place: serials and epochs
                    grow, a freeze ends by a request only, and what a person took offline stays offline
sound               no daemon ends by a fault of the program, whatever befalls it
replay              a decision made again from a copy of its picture is the same
rest                after the last fault every group comes to rest in bounded time (:mod:`holdfast.sim.rest`)
==================  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.model.facts import Intent, Request, Wanted
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.view import Decision, View
from holdfast.cluster.service.decisions import keep, same_again
from holdfast.cluster.service.records import GROUPS, REQUESTS, decode
from holdfast.sim.host import Host
from holdfast.sim.loop import PROCESS, SimLoop
from holdfast.sim.services import Level, Service, Trouble
from holdfast.store.port import Change

_FREEZE_GRACE_S = 1.0
_LIE_LASTS_S = 30.0
_MAY_START = frozenset(("group.online", "group.switch", "group.takeover"))
_MAY_FREEZE = frozenset(("group.freeze", "group.unfreeze"))


class Checker:
    """Calls ``fail`` with the promise and what broke it. ``cut_off`` says whether a host's data access is revoked."""

    def __init__(
        self,
        loop: SimLoop,
        configuration: Configuration,
        hosts: Mapping[str, Host],
        fail: Callable[[str, str], None],
        planner: Callable[[View], Decision] = decide,
    ) -> None:
        self._loop, self._configuration, self._hosts, self._fail = loop, configuration, hosts, fail
        self._planner = planner
        self.intents: dict[str, Intent] = {}
        self.cut_off: Callable[[Host, str], bool] = lambda _host, _group: False
        self._frozen_at: dict[str, tuple[int, float]] = {}
        self.decisions = 0

    # --- one owner

    def active(self, group: str) -> list[str]:
        """Return the hosts on which anything of ``group`` runs and could do harm."""
        return [
            host.name
            for host in self._hosts.values()
            if host.up and not host.paused and host.services.running(group) and not self.cut_off(host, group)
        ]

    def stirred(self, host: Host) -> None:
        """Something on ``host`` has changed."""
        for group in self._configuration.groups:
            if not host.services.running(group):
                continue
            owners = self.active(group)
            if len(owners) > 1:
                self._fail("one owner", f"{group} runs on {' and '.join(owners)}")

    def fell(self, host: Host, failure: BaseException) -> None:
        """The daemon of ``host`` ended by a fault of the program."""
        self._fail("sound", f"the daemon of {host.name} fell: {failure!r}")

    # --- children first, hands off

    def began(self, host: Host, group: str, resource: str, entry: str) -> None:
        """An entry point begins to act."""
        if group in self._frozen_at:
            self._hands_off(host, group, resource, entry)
        if entry != "online":
            return
        for child in self._configuration.groups[group].children(resource):
            service = host.services.table[group, child]
            if service.level is not Level.UP and not service.lost and not self._lied(service):
                self._fail("children first", f"{resource} goes online on {host.name} while {child} is down")

    def _lied(self, service: Service) -> bool:
        return service.troubles.get(Trouble.LYING_MONITOR, -_LIE_LASTS_S) + _LIE_LASTS_S > self._loop.now

    def _hands_off(self, host: Host, group: str, resource: str, entry: str) -> None:
        process = PROCESS.get()
        revision, _ = self._frozen_at[group]
        known = None if process is None else process.knew(revision)
        if known is not None and self._loop.now - known > _FREEZE_GRACE_S:
            self._fail("hands off", f"{entry} of {resource} on {host.name} although it knows that {group} is frozen")

    def killed(self, host: Host, spared: frozenset[str]) -> None:
        """The guard of ``host`` kills everything but ``spared``: no group that its daemon knows to be frozen."""
        for group, (revision, _) in self._frozen_at.items():
            known = None if host.daemon is None else host.daemon.knew(revision)
            told = known is not None and self._loop.now - known > _FREEZE_GRACE_S
            if told and group not in spared and host.services.running(group):
                self._fail("hands off", f"the guard of {host.name} kills frozen {group}")

    # --- word kept

    def committed(self, changes: Sequence[Change]) -> None:
        """The store took these changes in one commit."""
        if not any(change.key.startswith(GROUPS) for change in changes):
            return
        answered = [decode(c.value, Request) for c in changes if c.key.startswith(REQUESTS) and c.value]
        for change in changes:
            if change.key.startswith(GROUPS) and change.value is not None:
                new = decode(change.value, Intent)
                old = self.intents.get(new.group, Intent(new.group))
                self._compare(old, new, {request.operation for request in answered if request.group == new.group})
                self.intents[new.group] = new
                if new.frozen and not old.frozen:
                    self._frozen_at[new.group] = (change.revision, self._loop.now)
                elif not new.frozen:
                    self._frozen_at.pop(new.group, None)

    def _compare(self, old: Intent, new: Intent, asked: set[str]) -> None:
        group = new.group
        if new.serial < old.serial or new.epoch < old.epoch or (new != old and new.serial == old.serial):
            told = f"serial {old.serial} to {new.serial}, epoch {old.epoch} to {new.epoch}"
            self._fail("word kept", f"the intent of {group} goes back: {told}")
        if new.frozen != old.frozen and not asked & _MAY_FREEZE:
            self._fail("word kept", f"{group} was {'frozen' if new.frozen else 'unfrozen'} and nobody asked")
        if old.frozen and new.owner != old.owner:
            self._fail("hands off", f"frozen {group} moves from {old.owner} to {new.owner}")
        taken_down = old.owner and old.wanted is Wanted.OFFLINE and not old.following and not old.kept_down
        if taken_down and new.wanted is Wanted.ONLINE and not asked & _MAY_START:
            self._fail("word kept", f"{group} was taken offline, and starts although nobody asked")
        if new.wanted is Wanted.ONLINE and new.evidence is None:
            self._fail("one owner", f"{group} was given to {new.owner} without evidence")

    # --- replay

    def plan(self, view: View) -> Decision:
        """Plan, and where something comes of it plan again from the record that is kept of it."""
        decision = self._planner(view)
        if decision.changes:
            self.decisions += 1
            if not same_again(keep(view, decision, "", 0), view.configuration, self._planner):
                self._fail("replay", f"the decision {decision.changes} is not made again")
        return decision
