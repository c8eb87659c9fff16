"""``hastart`` and ``hastop``: start this system, stop systems.

A stop is a request that each system takes up by itself. Without an option its groups go offline and wait for it;
``-evacuate`` lets others take them over; ``-force`` leaves them running, without anybody to look after them.
"""

from __future__ import annotations

import sys

from holdfast.cluster.model.facts import Request
from holdfast.cluster.service.report import system_report
from holdfast.dialects.vcs.session import Form, Session, UsageError, Words
from holdfast.kernel.errors import InputError, Refusal, Refused

_STOP_WAIT_S = 20.0
_UP = ("RUNNING", "INITING")
_FORBIDDEN = {"Disable": ("local", "sys", "all"), "DisableClusStop": ("all",)}
_PROMPTS = {"PromptClusStop": ("all",), "PromptLocal": ("local",), "PromptAlways": ("local", "sys", "all")}
"""Value of EngineShutdown → the forms of ``hastop`` that it forbids, or asks about first."""


def _stop(form: str) -> Form:
    def run(session: Session, words: Words) -> None:
        systems = _systems(session, form, words)
        _may_stop(session, form)
        if not systems:
            raise Refused(Refusal("not-running", "no system is running", "hastatus -summary"))
        how = "force" if words.has("force") else "evacuate" if words.has("evacuate") else ""
        if how == "evacuate" and form == "all":
            raise UsageError("-all leaves nowhere to evacuate to")
        for name in systems:
            options = {how: "1"} if how else {}
            session.wire.submit(Request("", "system.stop", system=name, options=options), _STOP_WAIT_S)

    return run


def _systems(session: Session, form: str, words: Words) -> list[str]:
    names = list(session.configuration.systems)
    if form == "local":
        here = session.wire.local.system
        if here not in names:
            reason = f"this machine is {here!r}, which is no system of the cluster"
            raise Refused(Refusal("not-here", reason, "set HOLDFAST_SYSTEM_CONFIG to the system's file, or use -sys"))
        names = [here]
    elif form == "sys":
        if not words.plain:
            raise UsageError("-sys SYSTEM [-force | -evacuate | -noautodisable]")
        names = [session.named_system(name) for name in words.plain]
    up = [name for name in names if system_report(session.state, name).state in _UP]
    if form != "all" and len(up) < len(names):
        down = next(name for name in names if name not in up)
        raise Refused(Refusal("not-running", f"{down} is {system_report(session.state, down).state}", "hastart there"))
    return up


def _may_stop(session: Session, form: str) -> None:
    setting = str(session.configuration.cluster.get("EngineShutdown") or "Enable")
    if form in _FORBIDDEN.get(setting, ()):
        reason = f"EngineShutdown is {setting}"
        raise Refused(Refusal("shutdown-disabled", reason, "haclus -modify EngineShutdown Enable"))
    if form in _PROMPTS.get(setting, ()):
        sys.stderr.write(f"EngineShutdown is {setting}. Stop the engine? [y/n] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Refused(Refusal("not-confirmed", "nothing was stopped", ""))


def _start(session: Session, _words: Words) -> list[str]:
    """Run the guard with this system's file, apart from this terminal."""
    here = session.wire.local
    if not here.config_file:
        looked = f"no file of this system was found; looked at {here.looked_at}"
        raise InputError(looked, remedy="set HOLDFAST_SYSTEM_CONFIG to its TOML file: holdfast system run --help")
    return [session.wire.start()]


STOP_FORMS: dict[str, Form] = {"all": _stop("all"), "local": _stop("local"), "sys": _stop("sys")}
"""Forms of ``hastop``."""

START_FORMS: dict[str, Form] = {"": _start, "local": _start, "onenode": _start, "stale": _start}
"""Forms of ``hastart``."""
