"""Who gave the command that runs now: set once where commands come in, read where a change notes its author.

A context variable, because every command function has the same shape (core and parameters) and few of them need it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

SERVER = " server"
"""The server's own work: no administrator can have this name."""
_caller: ContextVar[str] = ContextVar("caller", default=SERVER)


def caller() -> str:
    """Return the administrator whose command runs in this thread; ``SERVER`` for its own work."""
    return _caller.get()


def author() -> str:
    """Return under which name a change is noted."""
    name = _caller.get()
    return "SERVER" if name == SERVER else name


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Run what follows as the command of ``name``."""
    token = _caller.set(name)
    try:
        yield
    finally:
        _caller.reset(token)
