"""The sync resources of one service at work: asking the array, judging, resynchronising, with triggers around it.

What may be done is decided by ``replication/plan/syncset.py``. A ``presnap_trigger`` that fails stops the resync;
``postsnap_trigger`` runs after it whatever happened, or a database would stay in its backup mode.
"""

from __future__ import annotations

import logging
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.dialects.opensvc.credentials import console_of
from holdfast.dialects.opensvc.home import Home
from holdfast.dialects.opensvc.service import Service, Sync
from holdfast.dialects.opensvc.servicefile import DEFAULT
from holdfast.dialects.opensvc.status import Line, Status
from holdfast.kernel.errors import HoldfastError, Refusal, Refused
from holdfast.replication.drivers.dscli_stdin import (
    flash_facts,
    flash_query,
    own_zones,
    resync_commands,
    run_lines,
    trouble_of,
)
from holdfast.replication.model.syncset import FlashFact
from holdfast.replication.plan.syncset import Moment, health, refusal

QUERY_LIMIT_S, RESYNC_LIMIT_S, TRIGGER_LIMIT_S = 60.0, 900.0, 600.0


@dataclass(frozen=True, slots=True)
class Order:
    """How a resync was asked for. ``running_on``: where the service is not down."""

    action: str
    running_on: tuple[str, ...] = ()
    force: bool = False
    cron: bool = False
    dry_run: bool = False


class Syncing:
    """The sync resources of ``service`` as this system drives them."""

    def __init__(self, service: Service, home: Home) -> None:
        self._service, self._home = service, home

    def lines(self, syncs: Sequence[Sync]) -> tuple[Line, ...]:
        """Return the state of each: up, or warn with its reasons; undef when the array cannot be asked."""
        return tuple(self._line(one) for one in syncs)

    def _line(self, one: Sync) -> Line:
        wanted, flags = one.set, f".{'D' if one.resource.disabled else '.'}{'O' if one.resource.optional else '.'}."
        label = f"{one.resource.type} {wanted.array} {wanted.pairs[0]}" + (" ..." if len(wanted.pairs) > 1 else "")
        if one.resource.disabled:
            return Line(one.resource.rid, Status.NA, label, flags)
        try:
            found = health(wanted, self._facts(one), time.time())
        except HoldfastError as error:
            return Line(one.resource.rid, Status.UNDEF, label, flags, (f"error: {error.message}",))
        status = Status.UP if found.up else Status.WARN
        return Line(one.resource.rid, status, label, flags, tuple(f"warn: {text}" for text in found.reasons))

    def resync(self, one: Sync, order: Order) -> None:
        """Resynchronise one resource. Raises ``Refused`` or another ``HoldfastError`` with the reason."""
        log = self._home.logger(self._service.name, one.resource.rid)
        rid = one.resource.rid
        last = self._home.ran(self._service.name, rid)
        if order.cron:
            ran = datetime.fromtimestamp(last) if last is not None else None
            reason = one.schedule.due(datetime.now(), ran, f"{self._service.name} {rid}")
            if reason:
                log.info("skip: %s", reason)
                return
        facts = self._facts(one)
        moment = Moment(time.time(), last, order.running_on, order.force)
        refused = refusal(one.set, facts, moment)
        if refused is not None and refused.code == "too-soon" and (order.cron or order.action == "sync all"):
            log.info("skip: %s", refused.reason)
            return
        if refused is not None:
            raise Refused(refused)
        commands = resync_commands(one.set, facts)
        if order.dry_run:
            for command in commands:
                log.info("would run: %s", command)
            return
        self._around(one, order, commands, log)
        self._home.remember(self._service.name, rid, time.time())

    def _around(self, one: Sync, order: Order, commands: Sequence[str], log: logging.Logger) -> None:
        action = order.action.replace(" ", "_")
        self._trigger(f"pre_{action}", one, log, blocks=False)
        self._trigger(f"blocking_pre_{action}", one, log, blocks=True)
        if one.snap:
            self._trigger("presnap_trigger", one, log, blocks=True)
        try:
            self._run(one, commands, log)
        finally:
            if one.snap:
                self._trigger("postsnap_trigger", one, log, blocks=False)
        self._trigger(f"blocking_post_{action}", one, log, blocks=True)
        self._trigger(f"post_{action}", one, log, blocks=False)

    def _run(self, one: Sync, commands: Sequence[str], log: logging.Logger) -> None:
        argv = console_of(one.set.array, self._home.etc, self._home.var).argv()
        for number, command in enumerate(commands):
            log.info("%s | %s", command, " ".join(argv))
            said = run_lines(argv, command, RESYNC_LIMIT_S, one.set.array)
            if said.stdout.strip():
                log.info("%s", said.stdout.strip())
            if said.stderr.strip():
                log.error("%s", said.stderr.strip())
            trouble = trouble_of(said)
            if trouble:
                raise self._failure(one, commands, number, trouble)

    def _failure(self, one: Sync, commands: Sequence[str], number: int, trouble: str) -> HoldfastError:
        verb = commands[number].partition(" ")[0]
        text = f"{verb} of {one.resource.rid} at {one.set.array} failed: {trouble}"
        if verb == "mkflash" and number:
            pairs = " ".join(one.set.pairs)
            return HoldfastError(f"{text}; the copies were withdrawn before: none is left of {pairs}", commands[number])
        if verb == "unfreezeflash":
            return HoldfastError(text, f"the sources hold their writes until the freeze times out: {commands[number]}")
        return HoldfastError(text, "see the service's log and lsflash -l")

    def _facts(self, one: Sync) -> dict[str, FlashFact]:
        console = console_of(one.set.array, self._home.etc, self._home.var)
        said = run_lines(console.argv(), flash_query(one.set), QUERY_LIMIT_S, one.set.array)
        trouble = trouble_of(said)
        if trouble:
            text = f"{one.set.array} does not list its flash copies: {trouble}"
            raise HoldfastError(text, "see whether its console answers")
        return flash_facts(said.stdout, own_zones())

    def _trigger(self, keyword: str, one: Sync, log: logging.Logger, blocks: bool) -> None:
        places = (one.resource.section, DEFAULT)
        texts = [self._service.file.own(place, keyword, self._service.place) for place in places]
        for text in filter(None, texts):
            try:
                words = shlex.split(text)
                done = subprocess.run(words, capture_output=True, text=True, timeout=TRIGGER_LIMIT_S, check=False)
                trouble = "" if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr.strip()[:200]}"
            except (OSError, ValueError, subprocess.TimeoutExpired) as error:
                trouble = str(error)
            log.info("%s: %s", keyword, text)
            if trouble and blocks:
                raise Refused(Refusal("trigger", f"{keyword} failed: {trouble}", "mend the program, then try again"))
            if trouble:
                log.error("%s failed: %s", keyword, trouble)
