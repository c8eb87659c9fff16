"""``haalert``: what waits for a person. The columns are [K]; the ids say what each alert is and whom it is about."""

from __future__ import annotations

import time

from holdfast.cluster.service.alerts import Alert, alerts
from holdfast.dialects.vcs.session import Form, Session, UsageError, Words

_HEADING = f"{'#Alert':<28} Status"


def _open(session: Session) -> list[Alert]:
    return [one for one in alerts(session.state, session.configuration) if one.acknowledged is None]


def _display(session: Session, _words: Words) -> list[str]:
    lines: list[str] = []
    for one in alerts(session.state, session.configuration):
        lines += [f"{one.id}: {one.text}"] + ([f"  to do: {one.remedy}"] if one.remedy else [])
        word = one.acknowledged
        if word is not None:
            at = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(word.at))
            lines.append(f"  {word.by} took note of it at {at}: {word.reason}")
    return lines or ["There are no alerts"]


def _list(session: Session, _words: Words) -> list[str]:
    return [_HEADING, *(f"{one.id:<28} {one.text}" for one in _open(session))]


def _delete(session: Session, words: Words) -> None:
    if not words.first() or not words.option("notes"):
        raise UsageError('-delete ALERT -notes "what was done about it"')
    session.wire.acknowledge(words.first(), " ".join(words.every("notes")))


FORMS: dict[str, Form] = {"display": _display, "list": _list, "delete": _delete}
"""Forms of ``haalert``."""
