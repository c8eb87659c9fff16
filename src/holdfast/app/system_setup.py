"""The verbs that set a system up or end it, bound lazily: who asks for a group's state must not load an authority."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from holdfast.cli.cluster import Answer
from holdfast.cluster.operations import SETUP

Handler = Callable[[str, Mapping[str, Any]], Answer]


def handlers() -> dict[str, Handler]:
    """Return the handlers of :data:`SETUP`: each verb is a function of :mod:`holdfast.app.joining`."""
    return {operation.name: _later(operation.verb) for operation in SETUP}


def _later(verb: str) -> Handler:
    def run(store: str, values: Mapping[str, Any]) -> Answer:
        handler: Handler = getattr(import_module("holdfast.app.joining"), verb)
        return handler(store, values)

    return run
