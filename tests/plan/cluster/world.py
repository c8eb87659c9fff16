"""A toy world for planners: the imagined cluster of the forecast, begun from nothing and checked at every step.

What may go wrong is done to the world from outside: a resource faults, a system dies or returns.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.facts import Life, Request, SystemView
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.imagined import Imagined, booted
from holdfast.cluster.plan.view import Decision, View

ROUNDS = 60
TYPES = """
type Thing ( str X )
type Keeper ( static str Operations = OnOnly )
type Watched ( static str Operations = None )
"""


class World(Imagined):
    """Systems, what runs on them, and what was decided; ``checks`` are called after every step."""

    def __init__(self, main_cf: str) -> None:
        super().__init__(View(build({"main.cf": TYPES + main_cf}), {}, {}, {}, now=1000.0, epoch=1))
        self.lives = dict.fromkeys(self.configuration.systems, 1)
        self.dead: set[str] = set()
        self.unheard: set[str] = set()
        self.history: list[str] = []
        self.checks: list[Callable[[World], None]] = []
        for system in self.configuration.systems:
            self._boot(system)

    def _boot(self, system: str) -> None:
        for group in self.configuration.groups.values():
            if system in group.priorities:
                self.facts[group.name, system] = {name: booted(each) for name, each in group.resources.items()}

    def crash(self, system: str) -> None:
        """The system dies; its guard's deadline is past."""
        self.dead.add(system)

    def boot(self, system: str) -> None:
        """The system returns with nothing running."""
        self.dead.discard(system)
        self.lives[system] += 1
        self._boot(system)

    def ask(self, operation: str, group: str = "", system: str = "", resource: str = "", **options: str) -> Request:
        """Put a request, run until quiet, return what became of it."""
        name = f"r{len(self.requests)}"
        self.requests.append(Request(name, operation, group, resource, system, options))
        self.settle()
        return next(request for request in self.requests if request.id == name)

    def settle(self) -> None:
        """Run until nothing changes any more. Raises AssertionError when it never does."""
        for _ in range(ROUNDS):
            before = self.rest()
            self.decide()
            for system in self.configuration.systems:
                self.step(system)
                for check in self.checks:
                    check(self)
            if before == self.rest():
                return
        raise AssertionError("the world never comes to rest:\n" + "\n".join(self.history[-12:]))

    def picture(self) -> View:
        """Bring the systems to what was done to them, then look."""
        self.systems = {name: SystemView(name, self.life(name), self.incarnation(name), 9.0) for name in self.lives}
        return super().picture()

    def life(self, system: str) -> Life:
        unheard = Life.UNCERTAIN if system in self.unheard else Life.ALIVE
        return Life.DEAD if system in self.dead else unheard

    def incarnation(self, system: str) -> str:
        return f"{system}-{self.lives[system]}"

    def decided(self, view: View) -> Decision:
        decision = decide(view)
        assert decision == decide(view), "the same picture gives the same decision"
        self.history += [change.text for change in decision.changes]
        return decision
