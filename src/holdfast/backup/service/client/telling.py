"""What a command did, told to the server for its activity log: statistics by the ids that stand there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from holdfast.backup.service.client.incremental import Figures
from holdfast.backup.service.client.restore import RestoreFigures
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m

_FAILURES = 100
"""No more are told than the server takes."""
_STORED = {
    "ANE4952I": "objects_inspected",
    "ANE4954I": "objects",
    "ANE4958I": "objects_updated",
    "ANE4960I": "objects_rebound",
    "ANE4970I": "objects_expired",
    "ANE4959I": "objects_failed",
    "ANE4961I": "transferred_bytes",
    "ANE4964I": "seconds",
}
_FETCHED = {
    "ANE4955I": "objects",
    "ANE4959I": "objects_failed",
    "ANE4961I": "transferred_bytes",
    "ANE4964I": "seconds",
}


def tell_stored(session: Session, done: Figures, *, archived: bool = False) -> None:
    """Tell of a backup or an archive. Nothing waits for it."""
    ids = {"ANE4953I" if archived and id == "ANE4954I" else id: name for id, name in _STORED.items()}
    _tell(session, ids, asdict(done), [*done.errors, *done.warnings, *done.failures])


def tell_fetched(session: Session, done: RestoreFigures, *, retrieved: bool = False) -> None:
    """Tell of a restore or a retrieve. Nothing waits for it."""
    ids = {"ANE4956I" if retrieved and id == "ANE4955I" else id: name for id, name in _FETCHED.items()}
    _tell(session, ids, asdict(done), done.failures)


def _tell(session: Session, ids: Mapping[str, str], figures: Mapping[str, float], failures: Sequence[str]) -> None:
    session.send(m.Tell({id: int(figures[name]) for id, name in ids.items()}, tuple(failures[:_FAILURES])))
