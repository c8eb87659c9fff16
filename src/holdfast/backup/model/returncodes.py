"""The return codes of administrative commands, with their symbols and how bad each is (section 1)."""

from __future__ import annotations

import enum


class Severity(enum.Enum):
    """How bad a return code is, as IF in a server script asks."""

    OK = "OK"
    WARNING = "WARNING"
    ERROR = "ERROR"


SYMBOLS: dict[str, int] = {
    "RC_OK": 0, "RC_UNKNOWN": 2, "RC_SYNTAX": 3, "RC_ERROR": 4, "RC_NOMEMORY": 5, "RC_NOLOG": 6, "RC_NODB": 7,
    "RC_NOSTORAGE": 8, "RC_NOAUTH": 9, "RC_EXISTS": 10, "RC_NOTFOUND": 11, "RC_INUSE": 12, "RC_ISREFERENCED": 13,
    "RC_NOTAVAILABLE": 14, "RC_IOERROR": 15, "RC_NOTXN": 16, "RC_NOLOCK": 17, "RC_NOTHREAD": 19, "RC_LICENSE": 20,
}  # fmt: skip
_WARNINGS = frozenset({10, 11})  # 11 [S], 10 [K]


def severity(code: int) -> Severity:
    """Return how bad a return code is."""
    if code == 0:
        return Severity.OK
    return Severity.WARNING if code in _WARNINGS else Severity.ERROR


def meets(code: int, condition: str) -> bool:
    """Return whether a return code meets a word of an IF: a severity or a symbol (without RC_ too)."""
    word = condition.upper()
    if word in Severity.__members__:
        return severity(code) is Severity[word]
    return SYMBOLS.get(word, SYMBOLS.get(f"RC_{word}")) == code


def known(condition: str) -> bool:
    """Return whether a word can stand in an IF."""
    word = condition.upper()
    return word in Severity.__members__ or word in SYMBOLS or f"RC_{word}" in SYMBOLS
