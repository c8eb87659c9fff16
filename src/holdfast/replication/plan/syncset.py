"""When a set of flash copies may be resynchronised, and how fresh it is. Pure.

Source: the OpenSVC page on IBM DS flash copy, whose checks are all made: the service must be down, always; the least
delay between two resyncs, which alone ``force`` bypasses; every pair must be there, in the state it should be in.

All pairs go into one command, those with space efficient targets too: ``-tgtse`` permits such targets, it does not
demand them. Two commands would give two points in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.kernel.errors import Refusal
from holdfast.replication.model.syncset import FlashFact, SyncSet

_VALID = "Valid"
CLOCK_SLACK_S = 300.0
"""How far an array's clock may be ahead before the age of its copies is not believed."""


@dataclass(frozen=True, slots=True)
class SyncHealth:
    """``reasons`` why a set is not as it should be; without any it is up. ``age_s`` is that of its oldest pair."""

    reasons: tuple[str, ...] = ()
    age_s: float | None = None

    @property
    def up(self) -> bool:
        """Whether the set is fresh and every pair as configured."""
        return not self.reasons


def health(wanted: SyncSet, facts: Mapping[str, FlashFact], now: float) -> SyncHealth:
    """Return how the set is, from what the array says of its pairs."""
    reasons: list[str] = []
    missing = sorted(set(wanted.pairs) - facts.keys())
    if missing:
        reasons.append(f"pairs {', '.join(missing)} are not in the persistent flash copy list of {wanted.array}")
    ages: list[float] = []
    for pair in wanted.pairs:
        fact = facts.get(pair)
        if fact is None:
            continue
        reasons += _oddities(wanted, fact)
        if fact.synced is not None:
            ages.append(now - fact.synced)
    age = max(ages, default=None)
    if age is not None and age > wanted.max_delay_s:
        reasons.append(f"last resync {int(age / 60)} minutes ago, more than {wanted.max_delay_s / 60:g}")
    if ages and min(ages) < -CLOCK_SLACK_S:
        minutes = int(-min(ages) / 60)
        reasons.append(f"last resync is dated {minutes} minutes from now: compare the clocks of array and system")
    return SyncHealth(tuple(reasons), age)


def _oddities(wanted: SyncSet, fact: FlashFact) -> list[str]:
    odd = []
    if fact.state != _VALID:
        odd.append(f"pair {fact.pair} is in state {fact.state or 'unknown'}, not {_VALID}")
    if fact.recording != wanted.recording:
        told, expected = ("Enabled" if each else "Disabled" for each in (fact.recording, wanted.recording))
        odd.append(f"pair {fact.pair} has Recording {told}, not {expected}")
    if not fact.persistent:
        odd.append(f"pair {fact.pair} is not persistent")
    if fact.synced is None:
        odd.append(f"the time of the last resync of pair {fact.pair} cannot be read")
    return odd


@dataclass(frozen=True, slots=True)
class Moment:
    """What else a resync depends on: now and the last run known to this system (seconds since the epoch), on which
    systems the service is not down, and whether the least delay is to be bypassed."""

    now: float
    last_run: float | None = None
    running_on: tuple[str, ...] = ()
    force: bool = False


def refusal(wanted: SyncSet, facts: Mapping[str, FlashFact], moment: Moment) -> Refusal | None:
    """Return why the set may not be resynchronised now; None if it may."""
    if moment.running_on:
        where = ", ".join(moment.running_on)
        return Refusal("not-down", f"the service is not down on {where}: its targets are in use", "stop it first")
    missing = sorted(set(wanted.pairs) - facts.keys())
    if missing:
        text = f"pairs {', '.join(missing)} are not in the persistent flash copy list of {wanted.array}"
        return Refusal("missing-pairs", text, f"make them once: mkflash -dev {wanted.array} -persist ... PAIR")
    odd = [pair for pair in wanted.pairs if facts[pair].state != _VALID]
    if odd:
        return Refusal("pair-state", f"pairs {', '.join(odd)} are not in state {_VALID}", "see lsflash -l")
    times = [fact.synced for pair in wanted.pairs if (fact := facts[pair]).synced is not None]
    last = max([*(each for each in times if each is not None), *filter(None, [moment.last_run])], default=None)
    if last is not None and not moment.force and 0 <= moment.now - last < wanted.min_delay_s:
        ago = int((moment.now - last) / 60)
        text = f"last resync {ago} minutes ago, less than sync_min_delay ({wanted.min_delay_s / 60:g} minutes)"
        return Refusal("too-soon", text, "wait, or add --force")
    return None
