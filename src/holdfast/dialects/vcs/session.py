"""What a VCS command works with: parsed words, the cluster as it is, and the way to put a request.

The dialect only parses and prints. It reads the same reports as the native command and puts the same requests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.cluster.model.configuration import Configuration, Group
from holdfast.cluster.model.facts import Request
from holdfast.cluster.service.client import configuration_of
from holdfast.cluster.service.records import State
from holdfast.dialects.vcs.layout import message
from holdfast.kernel.errors import Refusal, Refused


@dataclass(frozen=True, slots=True)
class VcsWire:
    """What the composition root binds: read the state, put a request, check a configuration directory."""

    state: Callable[[], State]
    submit: Callable[[Request, float], Request]
    verify: Callable[[Path], Configuration]


@dataclass(frozen=True, slots=True)
class Words:
    """A command line: the form (``switch`` of ``-switch``), its plain words, and its options with their values."""

    form: str
    plain: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]

    def option(self, name: str) -> str:
        """Return the first value of an option, or an empty text."""
        return (self.options.get(name) or ("",))[0]

    def first(self) -> str:
        """Return the first plain word, or an empty text."""
        return self.plain[0] if self.plain else ""


class UsageError(Exception):
    """The words fit no form of the command."""


def parse(arguments: Sequence[str]) -> Words:
    """Split a command line; ``%`` protects a value that starts with ``-``."""
    if not arguments or not arguments[0].startswith("-"):
        raise UsageError("a command such as -state is needed")
    form, plain, options, current = arguments[0][1:], list[str](), dict[str, list[str]](), ""
    for word in arguments[1:]:
        if word.startswith("-") and len(word) > 1 and not word[1:].isdigit():
            current = word[1:]
            options[current] = []
        elif current:
            options[current].append(word.removeprefix("%"))
        else:
            plain.append(word.removeprefix("%"))
    return Words(form, tuple(plain), {name: tuple(values) for name, values in options.items()})


@dataclass(frozen=True)
class Session:
    """One command at work."""

    wire: VcsWire
    state: State

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

    def system(self, name: str) -> str:
        """Return a system's name; refuses one that is not in the cluster."""
        if name and name not in self.configuration.systems:
            raise Refused(Refusal("no-system", ""))
        return name


Form = Callable[[Session, Words], list[str] | None]


def run_form(name: str, forms: Mapping[str, Form], wire: VcsWire, arguments: Sequence[str]) -> int:
    """Parse, run the form, print; return the exit code: 0 done, 1 refused or wrong usage."""
    try:
        words = parse(arguments)
        form = forms.get(words.form)
        if form is None:
            raise UsageError(f"-{words.form} is not a command of {name}")
        needs_state = name not in ("hacf", "haconf")
        lines = form(Session(wire, wire.state() if needs_state else State()), words)
    except UsageError as error:
        sys.stderr.write(f"{name}: {error}; known are {' '.join(f'-{each}' for each in forms)}\n")
        return 1
    except Refused as refused:
        told, about = refused.refusal, _about(arguments)
        sys.stderr.write(message(told.code, about, told.reason, told.remedy) + "\n")
        return 1
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _about(arguments: Sequence[str]) -> str:
    return next((word for word in arguments[1:] if not word.startswith("-")), "")
