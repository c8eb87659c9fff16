"""What can go wrong, as a table: each fault does its harm at once and, where it can be undone, undoes it later.

A fault takes a :class:`Stage` and says in a few words what it did; one that finds nothing to break says nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from holdfast.sim.host import Host
from holdfast.sim.loop import SimLoop
from holdfast.sim.network import Network
from holdfast.sim.services import Level, Trouble


@dataclass(frozen=True)
class Stage:
    """What faults act on. ``later`` runs something after so many simulated seconds, if faults go on until then."""

    loop: SimLoop
    chance: random.Random
    network: Network
    hosts: Mapping[str, Host]
    later: Callable[[float, Callable[[], None]], None]

    def host(self, up: bool = True) -> Host | None:
        """Return one of the hosts that are up (or down) and not standing still."""
        found = [host for host in self.hosts.values() if host.up == up and not host.paused]
        return self.chance.choice(found) if found else None

    def pause_s(self) -> float:
        """Return a pause: often about as long as a lease, at times up to two minutes."""
        return self.chance.choice((self.chance.uniform(1, 12), self.chance.uniform(1, 12), self.chance.uniform(1, 120)))


def _power(stage: Stage) -> str:
    host = stage.host()
    if host is None or sum(each.up for each in stage.hosts.values()) < 2:
        return ""
    host.lose_power()
    down_s = stage.chance.uniform(3, 60)
    stage.later(down_s, lambda: None if host.up else host.boot())
    return f"{host.name} loses power for {down_s:.0f} s"


def _guard_death(stage: Stage) -> str:
    host = stage.host()
    if host is None:
        return ""
    host.lose_power(files=False)
    stage.later(stage.chance.uniform(0.5, 20), lambda: None if host.up else host.boot())
    return f"the guard of {host.name} dies"


def _stand_still(stage: Stage) -> str:
    host = stage.host()
    if host is None:
        return ""
    seconds = stage.pause_s()
    host.pause()
    stage.later(seconds, lambda: host.go_on() if host.paused else None)
    return f"{host.name} stands still for {seconds:.1f} s"


def _stop_daemon(stage: Stage) -> str:
    """At a step of its work rather than at a time: most of its time a daemon waits."""
    host = stage.host()
    process = None if host is None else host.daemon
    if host is None or process is None or process.paused:
        return ""
    seconds, process.stop_in = stage.pause_s(), stage.chance.randrange(1, 100)
    process.stopped = lambda: stage.later(seconds, lambda: host.wake(process))
    return f"the daemon of {host.name} is stopped at step {process.stop_in} from here for {seconds:.1f} s"


def _kill_daemon(stage: Stage) -> str:
    host = stage.host()
    process = None if host is None else host.daemon
    if host is None or process is None:
        return ""
    process.fatal_in = stage.chance.choice((1, stage.chance.randrange(1, 400)))
    return f"the daemon of {host.name} dies at step {process.fatal_in} from here"


def _cut(stage: Stage) -> str:
    name = stage.chance.choice(sorted(stage.hosts))
    kind = stage.chance.choice(("both ways", "to the store", "from the store"))
    seconds = stage.chance.choice((stage.chance.uniform(0.5, 10), stage.chance.uniform(5, 60)))
    for road, one_way in ((stage.network.there[name], "from the store"), (stage.network.back[name], "to the store")):
        if kind != one_way:
            stage.network.cut(road)
            stage.later(seconds, lambda road=road: stage.network.heal(road))  # type: ignore[misc]
    return f"{name} is cut {kind} for {seconds:.1f} s"


def _lossy(stage: Stage) -> str:
    name, seconds = stage.chance.choice(sorted(stage.hosts)), stage.chance.uniform(5, 40)
    for road in (stage.network.there[name], stage.network.back[name]):
        road.lossy_until = stage.loop.now + seconds
    return f"packets of {name} are lost and sent again for {seconds:.0f} s"


def _leader_change(stage: Stage) -> str:
    seconds = stage.chance.uniform(1, 6)
    stage.network.change_leader(seconds)
    return f"the store changes its leader, silent for {seconds:.1f} s"


def _stall(stage: Stage) -> str:
    seconds = stage.chance.uniform(0.5, 5)
    stage.network.slow_until = max(stage.network.slow_until, stage.loop.now + seconds)
    return f"the store's disk stalls for {seconds:.1f} s"


def _compact(stage: Stage) -> str:
    stage.network.memory.compact(keep=1)
    return "the store forgets its history"


def _clock_jump(stage: Stage) -> str:
    host = stage.host()
    if host is None:
        return ""
    jump_s = stage.chance.uniform(-90, 90)
    host.hands.jumped_s += jump_s
    return f"the wall clock of {host.name} jumps by {jump_s:.0f} s"


def _service_death(stage: Stage) -> str:
    host = stage.host()
    running = [] if host is None else [key for key, each in host.services.table.items() if each.level is not Level.DOWN]
    if host is None or not running:
        return ""
    group, name = stage.chance.choice(running)
    service = host.services.table[group, name]
    host.services.put(group, name, Level.DOWN, "it died by itself", lost=True)
    if service.resource.persistent:
        stage.later(
            stage.chance.uniform(2, 40), lambda: host.services.put(group, name, Level.UP, "it is back by itself")
        )
    if service.watched:
        host.events()
    return f"{name} dies on {host.name}"


def _trouble(stage: Stage) -> str:
    host = stage.hosts[stage.chance.choice(sorted(stage.hosts))]
    things = [key for key, each in host.services.table.items() if not each.resource.persistent]
    if not things:
        return ""
    group, name = stage.chance.choice(things)
    kind, seconds = stage.chance.choice(tuple(Trouble)), stage.chance.uniform(5, 60)
    host.services.table[group, name].troubles[kind] = stage.loop.now + seconds
    return f"on {host.name} {name}: {kind.value} for {seconds:.0f} s"


FAULTS: Mapping[str, tuple[Callable[[Stage], str], int]] = {
    "power lost": (_power, 4),
    "guard killed": (_guard_death, 2),
    "host pause": (_stand_still, 4),
    "daemon pause": (_stop_daemon, 4),
    "daemon crash": (_kill_daemon, 6),
    "partition": (_cut, 7),
    "lossy network": (_lossy, 4),
    "leader change": (_leader_change, 3),
    "disk stall": (_stall, 2),
    "compaction": (_compact, 1),
    "clock jump": (_clock_jump, 2),
    "service death": (_service_death, 8),
    "trouble": (_trouble, 10),
}
"""Name → what it does, and how often it comes relative to the others."""


def strike(stage: Stage) -> tuple[str, str]:
    """Let one fault happen by chance; return its name and what it did."""
    name = stage.chance.choices(list(FAULTS), [weight for _, weight in FAULTS.values()])[0]
    return name, FAULTS[name][0](stage)
