"""FlashCopy's verbs: from a request's options to the pure commands, and what must happen around them.

All pairs of one request get one point in time, because nothing is awaited between the first and the last. Only a copy
onto the source of a mirror (``-tgtpprc``) waits: before the target's bytes change, the store has to say that the mirror
is no longer in sync.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from holdfast.kernel.errors import HoldfastError
from holdfast.replication.array import flashcopy
from holdfast.replication.array.commands import refuse
from holdfast.replication.array.machine import Change, Machine
from holdfast.replication.model.flash import FlashOptions
from holdfast.replication.operations import Command, Outcome
from holdfast.replication.service.engine import Engine, now
from holdfast.replication.service.longbusy import LongBusy
from holdfast.replication.service.outcomes import failed, split_pair
from holdfast.replication.service.pairing import Pairing

Make = Callable[[Machine, str, str, FlashOptions, float], Change]
_PRESERVE = ("no", "preferred", "required")


class Flashing:
    """Carries out FlashCopy verbs on one array; ``start_copy`` begins the background copy onto a target."""

    def __init__(self, engine: Engine, pairing: Pairing, busy: LongBusy) -> None:
        self._engine, self._pairing, self._busy = engine, pairing, busy
        self.start_copy: Callable[[str], None] = lambda target: None

    async def make(self, command: Command) -> list[Outcome]:
        """``mkflash``, ``resyncflash`` and ``reverseflash``."""
        options, make = flash_options(command.options), _maker(command)
        outcomes: dict[str, Outcome] = {}
        pairs: dict[str, tuple[str, str]] = {}
        for name in command.objects:
            try:
                pairs[name] = split_pair(name)
            except HoldfastError as error:
                outcomes[name] = failed(name, error)
        end = 0 if command.verb == "reverseflash" else 1
        async with self._pairing.alone(pair[end] for pair in pairs.values() if options.onto_source):
            for name, pair in pairs.items():
                try:
                    await self._prepare(pair[end], make, pair, options)
                except HoldfastError as error:
                    outcomes[name] = failed(name, error)
            ready = {name: pair for name, pair in pairs.items() if name not in outcomes}
            outcomes |= self._commit(ready, make, options, end, bool(command.options.get("freeze")))
        return [outcomes[name] for name in command.objects]

    def _commit(
        self, pairs: dict[str, tuple[str, str]], make: Make, options: FlashOptions, end: int, freeze: bool
    ) -> dict[str, Outcome]:
        moment, outcomes, frozen = now(), {}, set()
        for name, pair in pairs.items():
            try:
                self._engine.commit(make(self._engine.machine, *pair, options, moment))
            except (HoldfastError, OSError) as error:
                outcomes[name] = failed(name, error)
            else:
                outcomes[name] = Outcome(name)
                frozen.add(pair[0][:2])
                self._after(pair[end], options)
        if freeze:
            self._busy.hold(frozen)
        return outcomes

    async def _prepare(self, onto: str, make: Make, pair: tuple[str, str], options: FlashOptions) -> None:
        """Before a copy onto a mirror's source: the mirror is out of sync, in the store and at its target."""
        if options.onto_source and onto in self._engine.image.pairs:
            make(self._engine.machine, *pair, options, 0.0)
            await self._pairing.copy_again(onto)

    def _after(self, target: str, options: FlashOptions) -> None:
        if options.background_copy:
            self.start_copy(target)

    # --- one object at a time ----------------------------------------------------------------------------------------

    async def withdraw(self, name: str, command: Command) -> None:
        """``rmflash``; with ``copy`` the relation goes once everything is copied."""
        source, target = split_pair(name)
        flash = flashcopy.find_flash(self._engine.image, source, target)
        self._check_sequence(flash.options.sequence, name, command)
        if command.options.get("copy") and not flash.failed:
            self._engine.commit(flashcopy.finish_then_remove(self._engine.machine, source, target))
            self.start_copy(target)
        else:
            self._engine.commit(flashcopy.remove_flash(self._engine.machine, source, target))

    async def set_revertible(self, name: str, command: Command) -> None:
        """``setflashrevertible``."""
        source, target = split_pair(name)
        self._engine.commit(flashcopy.set_revertible(self._engine.machine, source, target, now()))
        if "seqnum" in command.options:
            flash = self._engine.image.flashes[target]
            options = replace(flash.options, sequence=str(command.options["seqnum"]))
            self._engine.commit(flashcopy.replaced(self._engine.image, replace(flash, options=options)))

    async def commit(self, name: str, command: Command) -> None:
        """``commitflash``: all revertible relations of a source volume, or those with a sequence number."""
        for flash in flashcopy.revertible_of(self._engine.image, name.upper(), _sequence(command)):
            self._engine.commit(flashcopy.commit_flash(self._engine.machine, flash.source, flash.target))
            self._after(flash.target, flash.options)

    async def revert(self, name: str, command: Command) -> None:
        """``revertflash``: back to the earlier point in time."""
        for flash in flashcopy.revertible_of(self._engine.image, name.upper(), _sequence(command)):
            self._engine.commit(flashcopy.revert_flash(self._engine.machine, flash.source, flash.target))
            self._after(flash.target, flash.options)

    @staticmethod
    def _check_sequence(known: str, name: str, command: Command) -> None:
        wanted = _sequence(command)
        if wanted is not None and wanted != known:
            raise refuse("no-flash", f"pair {name} has sequence number {known}, not {wanted}", "list with lsflash")


def _maker(command: Command) -> Make:
    if command.verb == "mkflash":
        return flashcopy.make_flash
    if command.verb == "resyncflash":
        return flashcopy.resync_flash
    return flashcopy.fast_reverse_flash if command.options.get("fast") else flashcopy.reverse_flash


def _sequence(command: Command) -> str | None:
    return str(command.options["seqnum"]) if command.options.get("seqnum") is not None else None


def flash_options(given: dict[str, Any]) -> FlashOptions:
    """Return the relation's options. Refuses ``pmir`` values that are unknown or that this array cannot keep."""
    preserve = str(given.get("pmir", "no"))
    if preserve not in _PRESERVE:
        raise refuse("bad-request", f"-pmir {preserve} is not known", f"use {', '.join(_PRESERVE)}")
    if preserve == "required":
        raise refuse(
            "pmir", "this array cannot preserve the mirror while it is copied onto", "use -pmir preferred or no"
        )
    record = bool(given.get("record", False))
    return FlashOptions(
        persist=bool(given.get("persist", False)) or record,
        record=record,
        background_copy=bool(given.get("copy", True)),
        target_inhibit=bool(given.get("tgtinhibit", False)),
        sequence=str(given.get("seqnum", "0")),
        onto_source=bool(given.get("tgtpprc", False)),
        several=bool(given.get("multinc", False)),
    )
