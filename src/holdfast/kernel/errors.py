"""Failures and refusals, the two ways in which Holdfast says no.

A :class:`Refusal` is an expected "no": a value with a stable code, the reason and what a person can do. It travels in
plans and results like any other value. A :class:`HoldfastError` is the unexpected: it is raised, carries its cause, and
is caught only where somebody can act on it. :class:`Refused` carries a refusal out of a call that cannot return one.
"""

from __future__ import annotations

from dataclasses import dataclass

_MESSAGE_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Refusal:
    """An expected "no": ``code`` is stable for programs, ``reason`` says why, ``remedy`` what a person can do."""

    code: str
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.remedy})" if self.remedy else self.reason


class HoldfastError(Exception):
    """Something failed that should not have. ``remedy`` says what to do next."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  remedy: {self.remedy}" if self.remedy else self.message


class Refused(HoldfastError):
    """Carries a :class:`Refusal` out of a call that has no other way to return it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason, refusal.remedy)
        self.refusal = refusal


class InputError(HoldfastError):
    """Input that cannot be used: names the file, line and column (both from 1), and the remedy. Nothing was changed."""

    def __init__(self, message: str, *, file: str = "", line: int = 0, column: int = 0, remedy: str = "") -> None:
        super().__init__(abridged(message), abridged(remedy))
        self.file, self.line, self.column = file, line, column

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = f"{place}: {self.message}" if place else self.message
        return f"{text}\n  remedy: {self.remedy}" if self.remedy else text

    def inside(self, file: str, key: str = "") -> InputError:
        """Return the same complaint about the value of ``key`` in ``file``."""
        message = f"{key}: {self.message}" if key else self.message
        return InputError(message, file=file, remedy=self.remedy)


def abridged(text: str) -> str:
    """Return ``text`` as a terminal can bear it: a complaint quotes its cause, which may be a megabyte of anything."""
    if len(text) > _MESSAGE_CHARACTERS:
        half = _MESSAGE_CHARACTERS // 2
        text = f"{text[:half]} … {text[-half:]}"
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


class Unavailable(HoldfastError):
    """A peer, store or device cannot be reached now. The outcome of the call may be unknown."""
