"""RECONCILE VOLUMES: facts from both sides, the plan's findings, and their actions carried out one by one.

Each finding and each action is a line in the activity log. The catalog and the target are changed only under FIX=YES.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Protocol, cast

from sqlalchemy import Connection, select, update

from holdfast.backup.model.pools import VolumeAccess
from holdfast.backup.model.virtual import SourceVolume, TargetFile, archive_name
from holdfast.backup.plan.reconciliation import Action, Finding, reconcile
from holdfast.backup.service.catalog.schema import devclasses, volhistory, volumes
from holdfast.backup.service.catalog.storage import POOL_HISTORY
from holdfast.backup.service.core import Core
from holdfast.backup.session.messages import RemoteFile
from holdfast.kernel.errors import Refusal, Refused


class RemoteFiles(Protocol):
    """What reconciliation needs of a target, beyond media: the list of files, and marks."""

    def files(self) -> tuple[RemoteFile, ...]:
        """Return every object of this class at the target."""

    def mark(self, full_name: str, *, active: bool) -> None:
        """Mark an object for deletion or make it active again."""


@dataclass(slots=True)
class ReconcileFigures:
    """What was found and what was settled, one entry per name; ``messages`` for people."""

    found: list[dict[str, object]] = field(default_factory=list)
    settled: list[dict[str, object]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


def reconcile_volumes(core: Core, devclass: str, *, fix: bool, process: int = 0) -> ReconcileFigures:
    """Reconcile one SERVER device class, or all of them for ``*``. Raises ``Refused`` or ``Unavailable``."""
    with core.database.read() as connection:
        statement = select(devclasses).where(devclasses.c.type == "SERVER").order_by(devclasses.c.name)
        rows = [row for row in connection.execute(statement).all() if devclass in ("*", row.name)]
    if not rows:
        raise Refused(Refusal("not-found", f"no device class {devclass} of type SERVER", "QUERY DEVCLASS"))
    figures = ReconcileFigures()
    for row in rows:
        _one_class(core, row.name, row.prefix, fix, process, figures)
    return figures


def _one_class(core: Core, devclass: str, prefix: str, fix: bool, process: int, figures: ReconcileFigures) -> None:
    target = cast(RemoteFiles, core.media_of_class(devclass))
    with core.database.read() as connection:
        known = source_volumes(connection, devclass, prefix)
    files = [TargetFile(f.name, f.size_bytes, f.written_ns, f.marked, f.present) for f in target.files()]
    findings = reconcile(known, files, fix=fix)
    for finding in findings:
        figures.found.append(_entry(finding))
        figures.messages.append(
            core.log("ANR0470I", process=process, devclass=devclass, name=finding.name, reason=finding.reason)
        )
        done = [action for action in finding.actions if action is not Action.REPORT]
        for action in done:
            _carry_out(core, target, finding, action, prefix)
            figures.messages.append(
                core.log("ANR0471I", process=process, devclass=devclass, name=finding.name, action=action.value)
            )
        if done:
            figures.settled.append({**_entry(finding), "actions": [action.value for action in done]})
    summary = {"found": len(figures.found), "settled": len(figures.settled)}
    figures.messages.append(core.log("ANR0472I", process=process, devclass=devclass, **summary))


def _entry(finding: Finding) -> dict[str, object]:
    plain = asdict(finding)
    return {
        "name": finding.name,
        "row": finding.row.value,
        "case": finding.row.name.lower(),
        "pool": plain["pool"],
        "attributes_match": finding.attributes_match,
        "reason": finding.reason,
    }


def _carry_out(core: Core, target: RemoteFiles, finding: Finding, action: Action, prefix: str) -> None:
    volume = finding.name.removeprefix(f"{prefix}.")
    if action is Action.VOLUME_UNAVAILABLE:
        with core.database.write() as connection:
            mine = volumes.c.name == volume
            connection.execute(update(volumes).where(mine).values(access=VolumeAccess.UNAVAILABLE.value))
    elif action is Action.REACTIVATE:
        target.mark(finding.name, active=True)
    elif action is Action.MARK_FILE:
        target.mark(finding.name, active=False)


def source_volumes(connection: Connection, devclass: str, prefix: str) -> list[SourceVolume]:
    """Return every virtual volume of a class that this server knows, from its pools and from the volume history."""
    pools = connection.execute(select(volumes).where(volumes.c.devclass == devclass, volumes.c.size_bytes > 0)).all()
    where = (volhistory.c.devclass == devclass, volhistory.c.type.not_in(POOL_HISTORY))
    history = connection.execute(select(volhistory).where(*where)).all()
    known = {
        row.volume: SourceVolume(archive_name(prefix, row.volume), row.size_bytes, row.written_ns, "")
        for row in history
    }
    for row in pools:
        known[row.name] = SourceVolume(archive_name(prefix, row.name), row.size_bytes, row.written_ns, row.pool)
    return list(known.values())
