"""What a VCS command works with: parsed words, the cluster as it is, and the way to put a request.

The dialect only parses and prints. It reads the same reports as the native command and puts the same requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from holdfast.cluster.config.edit import Draft
from holdfast.cluster.model.configuration import Configuration, Group
from holdfast.cluster.model.facts import Request
from holdfast.cluster.service.client import configuration_of
from holdfast.cluster.service.records import State
from holdfast.dialects.vcs.layout import ABSENT, message
from holdfast.dialects.vcs.options import unknown_option
from holdfast.kernel.errors import Refusal, Refused, abridged

if TYPE_CHECKING:  # a command that asks for no forecast does not pay for the planner
    from holdfast.cluster.plan.forecast import Forecast


def _unbound(*_anything: Any) -> NoReturn:
    raise AssertionError("the composition root binds it")


@dataclass(frozen=True, slots=True)
class Host:
    """What the command finds on the machine it runs on: the system's name, its file, its logs; empty if unknown."""

    system: str = ""
    config_file: str = ""
    log_directory: str = ""
    triggers: str = ""
    looked_at: str = ""


@dataclass(frozen=True, slots=True)
class VcsWire:
    """What the composition root binds: read the state, put a request, check a configuration directory, change what is
    committed, open or close it (True when that changed anything), follow the state until somebody interrupts, start
    this machine's system (and say what was done), act as a user (with an empty name as oneself again),
    run a trigger (how many programs, and the exit code of the first that failed), foresee what becomes of a group whose
    system is lost, take note of an alert with a reason."""

    state: Callable[[], State]
    submit: Callable[[Request, float], Request]
    verify: Callable[[Path], Configuration]
    edit: Callable[[Callable[[Draft], None], bool], None] = _unbound
    writable: Callable[[bool], bool] = _unbound
    follow: Callable[[Callable[[State], None]], None] = _unbound
    start: Callable[[], str] = _unbound
    login: Callable[[str, str], str] = _unbound
    trigger: Callable[[str, Sequence[str]], tuple[int, int]] = _unbound
    forecast: Callable[[State, str], Forecast] = _unbound
    acknowledge: Callable[[str, str], None] = _unbound
    local: Host = field(default_factory=Host)


@dataclass(frozen=True, slots=True)
class Words:
    """A command line: the form (``switch`` of ``-switch``), its plain words, and its options with their values."""

    form: str
    plain: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    raw: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        """Whether an option was given."""
        return name in self.options

    def every(self, name: str) -> tuple[str, ...]:
        """Return all values of an option."""
        return self.options.get(name, ())

    def option(self, name: str) -> str:
        """Return the first value of an option, or an empty text."""
        return (self.options.get(name) or ("",))[0]

    def first(self) -> str:
        """Return the first plain word, or an empty text."""
        return self.plain[0] if self.plain else ""


FLAGS = frozenset(
    (
        "any", "all", "atleast", "checkpartial", "evacuate", "failover", "fault", "force", "ifprobed", "ignoreparent",
        "localclus", "noautodisable", "nopre", "ovalues", "parentprop", "persistent", "propagate", "verbose",
    )
)  # fmt: skip
"""Options that take no value: what follows them is a plain word."""


class UsageError(Exception):
    """The words fit no form of the command."""


def parse(arguments: Sequence[str], bare: bool = False) -> Words:
    """Split a command line; ``%`` protects a value that starts with ``-``. A ``bare`` command needs no form."""
    formless = not arguments or not arguments[0].startswith("-")
    if formless and not bare:
        raise UsageError("a command such as -state is needed")
    form, plain, options, current = "" if formless else arguments[0][1:], list[str](), dict[str, list[str]](), ""
    for word in arguments if formless else arguments[1:]:
        if word.startswith("-") and len(word) > 1 and not word[1:].isdigit():
            current = word[1:]
            options.setdefault(current, [])
            current = "" if current in FLAGS else current
        elif current:
            options[current].append(word.removeprefix("%"))
        else:
            plain.append(word.removeprefix("%"))
    return Words(form, tuple(plain), {name: tuple(values) for name, values in options.items()}, tuple(arguments))


@dataclass(frozen=True)
class Session:
    """One command at work."""

    wire: VcsWire
    state: State
    remote: str = ""
    """The other cluster that ``-clus`` named."""

    @property
    def configuration(self) -> Configuration:
        """The committed configuration."""
        return configuration_of(self.state)

    def group(self, name: str) -> Group:
        """Return a group; refuses one that is not there."""
        found = self.configuration.groups.get(name)
        if found is None:
            raise Refused(Refusal("no-group", ""))
        return found

    def groups(self, name: str) -> list[Group]:
        """Return the named group, or all."""
        return [self.group(name)] if name else list(self.configuration.groups.values())

    def group_of(self, resource: str) -> Group:
        """Return the group of a resource; refuses one that is not there."""
        found = self.configuration.group_of(resource)
        if found is None:
            raise Refused(Refusal("no-resource", ""))
        return found

    def named_system(self, name: str) -> str:
        """Return the name of a system that must be named; refuses one that is not in the cluster."""
        if not name:
            raise Refused(Refusal("no-system", ""))
        return self.system(name)

    def system(self, name: str) -> str:
        """Return a system's name, or an empty one when none is asked for; refuses one that is not in the cluster."""
        known = self.configuration.systems if not self.remote else self.remote_systems()
        if name and name not in known:
            raise Refused(Refusal("no-system", ""))
        return name

    def remote_systems(self) -> Mapping[str, str]:
        """Return the systems of the cluster that was named, with their states as it tells them."""
        found = self.state.remotes.get(self.remote)
        return {} if found is None or found.summary is None else found.summary.systems


Form = Callable[[Session, Words], list[str] | None]
_WITHOUT_STATE = ("hacf", "hamsg", "hastart", "hatrigger")
_NAMELESS = re.compile(r"'([^']+)'")


def run_form(
    name: str, forms: Mapping[str, Form], wire: VcsWire, arguments: Sequence[str], out: TextIO, err: TextIO
) -> int:
    """Parse, run the form, print; return the exit code: 0 done, 1 refused or wrong usage."""
    session, words = None, None
    try:
        _check_text(arguments)
        words = parse(arguments, bare="" in forms)
        form = forms.get(words.form)
        if form is None:
            known = " ".join(f"-{each}" for each in forms if each)
            raise UsageError(f"-{words.form} is not a command of {name}; known are {known}")
        session = Session(wire, State() if name in _WITHOUT_STATE else wire.state())
        if name in _OF_A_CLUSTER:
            words, there = _cluster_named(session, words)
            session = session if not there else _remote(session, there, name, words)
        wrong = unknown_option(name, words.form, words.options)
        if wrong:
            raise UsageError(wrong)
        lines = form(session, words)
    except UsageError as error:
        err.write(f"{name}: {abridged(str(error))}\n")
        return 1
    except Refused as refused:
        err.write(abridged(refusal_text(refused.refusal, arguments)) + "\n")
        return 1
    if lines:
        out.write("\n".join(lines) + "\n")
    return 0


def _check_text(arguments: Sequence[str]) -> None:
    for argument in arguments:
        if not argument.isascii() and argument.encode("utf-8", "replace").decode() != argument:
            raise UsageError(f"{abridged(ascii(argument))} is not UTF-8")


_OF_A_CLUSTER = ("hagrp", "hares", "hasys", "hatype")


def _cluster_named(session: Session, words: Words) -> tuple[Words, str]:
    """Take ``-clus`` and ``-localclus`` out; return the other cluster that was named, if one was.

    ``-switch`` and ``-ignore`` keep it: they say something of that cluster, not to it. Refuses a cluster that is not
    known.
    """
    named = words.option("clus")
    own, known = session.configuration.name, session.configuration.remote_clusters
    if named and named != own and named not in known:
        reason = f"{named!r} is neither this cluster nor a remote one"
        raise Refused(Refusal("no-cluster", reason, f"known are {', '.join((own, *known))}"))
    if named in known and words.form in ("switch", "ignore"):
        return words, ""
    raw = list(words.raw)
    if words.has("localclus"):
        raw.remove("-localclus")
    if named:
        place = raw.index("-clus")
        del raw[place : place + 2]
    return parse(raw), "" if named == own else named


_RELAYED = frozenset(("online", "offline", "freeze", "unfreeze", "clear", "clearadminwait", "flush", "autoenable"))
_TOLD = frozenset((("hagrp", "state"), ("hasys", "state")))


def _remote(session: Session, there: str, name: str, words: Words) -> Session:
    """Return a session whose requests go to another cluster, whose coordinator answers them.

    Refuses what is neither told by another cluster nor asked of it: its configuration is changed there.
    """
    relayed = name == "hagrp" and words.form in _RELAYED and not words.has("persistent")
    if not relayed and (name, words.form) not in _TOLD:
        reason = f"{name} -{words.form} is not done across clusters"
        raise Refused(Refusal("not-across", reason, f"run it in cluster {there}"))

    def submit(request: Request, wait_s: float) -> Request:
        return session.wire.submit(replace(request, options={**request.options, "at": there}), wait_s)

    return Session(replace(session.wire, submit=submit), session.state, there)


def refusal_text(refusal: Refusal, arguments: Sequence[str]) -> str:
    """Return what a person is told of a refusal. One about something that is not there names just that."""
    about = next((word for word in arguments[1:] if not word.startswith("-")), "")
    found = _NAMELESS.search(refusal.reason)
    if refusal.code in ABSENT and found is not None:
        return message(refusal.code, found[1], "", "")
    return message(refusal.code, about, refusal.reason, refusal.remedy)
