"""Handlers of ``holdfast cluster alerts`` and ``acknowledge``: what waits for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.app.cluster import read_state, with_client
from holdfast.cli.cluster import Answer
from holdfast.cli.frame import table
from holdfast.cluster.service.alerts import Alert, alerts
from holdfast.cluster.service.client import configuration_of


def handlers() -> dict[str, Callable[[str, Mapping[str, Any]], Answer]]:
    """Return the handlers by operation."""
    return {"cluster alerts": _alerts, "cluster acknowledge": _acknowledge}


def _alerts(store: str, values: Mapping[str, Any]) -> Answer:
    state = read_state(store)
    found = [one for one in alerts(state, configuration_of(state)) if values.get("all") or one.acknowledged is None]
    rows = [(one.id, one.text, one.remedy, _noted(one)) for one in found]
    return Answer(found, table(("alert", "what", "to do", "noted"), rows) if rows else "nothing waits for a person")


def _noted(alert: Alert) -> str:
    word = alert.acknowledged
    return "" if word is None else f"{word.by}: {word.reason}"


def _acknowledge(store: str, values: Mapping[str, Any]) -> Answer:
    word = with_client(store, lambda client: client.acknowledge(values["alert"], values["reason"]))
    return Answer(word, f"{word.by} took note of {word.alert}")
