"""Operations: what a user can ask for, declared once and rendered by the command line, dialects and documentation.

A domain lists its operations as a table in ``operations.py``. ``holdfast group switch`` and ``hagrp -switch`` name the
same :class:`Operation`; the composition root binds each to the function that carries it out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of an operation. ``kind`` is one of ``str``, ``int``, ``float``, ``bool``, ``list``."""

    name: str
    help: str
    kind: str = "str"
    required: bool = False
    default: str | int | float | bool | None = None
    positional: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a user can ask for. ``name`` is ``noun verb``; ``changes`` is False for a query."""

    name: str
    summary: str
    params: tuple[Param, ...] = ()
    examples: tuple[str, ...] = ()
    changes: bool = True

    @property
    def noun(self) -> str:
        """The first word: ``group`` of ``group switch``."""
        return self.name.split()[0]

    @property
    def verb(self) -> str:
        """What follows the noun: ``switch`` of ``group switch``."""
        return self.name.split()[-1]
