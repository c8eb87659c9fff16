"""SELECT as administrators of this field write it, made into SQL that a database understands (section 9).

What differs is rewritten word by word, never executed here: ``current_timestamp - 24 hours``, ``(end_time - start_time)
seconds``, ``DECIMAL(x, 8, 2)`` and ``CAST(x AS DECIMAL(8, 2))``, ``FETCH FIRST n ROWS ONLY``, ``SYSCAT.TABLES``. The
functions that stand in the result (``hf_now``, ``hf_shift``, ``hf_span``, ``hf_decimal`` ...) are the driver's. One
statement, a SELECT or WITH, comes out, or ``InputError`` says why not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from holdfast.kernel.errors import InputError

SQL_CHARACTERS = 20_000
_MOST_REWRITTEN = 200
UNITS = ("second", "minute", "hour", "day", "week", "month", "year")
_TOKEN = re.compile(
    r"""\s+|'(?:[^']|'')*'|"(?:[^"]|"")*"|[A-Za-z_#@$][\w#@$]*|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|<>|<=|>=|!=|\|\||."""
)
_QUALIFIED = frozenset({"syscat", "tsmdb1"})
_NOW = {"current_timestamp": "hf_now()", "current_date": "hf_today()", "current_time": "hf_clock()"}


def rewrite(text: str) -> str:
    """Return ``text`` as SQL for the driver. Raises ``InputError`` with the place of what cannot be."""
    if len(text) > SQL_CHARACTERS:
        raise InputError(f"the statement is longer than {SQL_CHARACTERS} characters", remedy="ask for less at once")
    tokens = [token for token in _tokens(text) if not token.isspace()]
    if not tokens or tokens[0].lower() not in ("select", "with"):
        raise InputError("ANR2905E only SELECT can be asked", remedy="SELECT columns FROM table")
    if ";" in tokens:
        raise InputError("ANR2904E Unexpected SQL token ';'", remedy="one statement, without a semicolon")
    for step in _STEPS:
        tokens = step(tokens)
    return " ".join(tokens)


def words(text: str) -> frozenset[str]:
    """Return the names that a statement mentions, in small letters: its tables are among them."""
    return frozenset(token.lower() for token in _tokens(text) if token[0].isalpha())


def _tokens(text: str) -> list[str]:
    tokens = [found[0] for found in _TOKEN.finditer(text)]
    for token in tokens:
        if token in "'\"" or (not token.isascii() and token[0] not in "'\"" and not token.isspace()):
            raise InputError(f"ANR2904E Unexpected SQL token {token!r}", remedy="is a quote not closed?")
    return tokens


def _special_names(tokens: list[str]) -> list[str]:
    """``CURRENT TIMESTAMP`` and ``current_timestamp`` become calls; a schema before a name goes, or joins it."""
    out: list[str] = []
    position = 0
    while position < len(tokens):
        token, following = tokens[position].lower(), [word.lower() for word in tokens[position + 1 : position + 3]]
        if token == "current" and following and f"current_{following[0]}" in _NOW:
            out.append(_NOW[f"current_{following[0]}"])
            position += 2
        elif token in _NOW:
            out.append(_NOW[token])
            position += 1
        elif token in _QUALIFIED and len(following) == 2 and following[0] == ".":
            out.append(f"syscat_{following[1]}" if token == "syscat" else following[1])
            position += 3
        else:
            out.append(tokens[position])
            position += 1
    return out


def _unit(token: str) -> str:
    """Return the unit that a word names, or nothing."""
    word = token.lower().removesuffix("s")
    return word if word in UNITS else ""


def _closing(tokens: Sequence[str], opening: int) -> int:
    """Return the position of the bracket that closes the one at ``opening``."""
    depth = 0
    for position in range(opening, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[position], 0)
        if depth == 0:
            return position
    raise InputError("ANR2904E a bracket is not closed", remedy="count the brackets")


def _opening(tokens: Sequence[str], closing: int) -> int:
    depth = 0
    for position in range(closing, -1, -1):
        depth += {")": 1, "(": -1}.get(tokens[position], 0)
        if depth == 0:
            return position
    raise InputError("ANR2904E Unexpected SQL token ')'", remedy="count the brackets")


def _span(tokens: list[str]) -> list[str] | None:
    """``(a - b) hours`` becomes ``hf_span(a, b, 'hour')``: how many of the unit lie between two times."""
    for position in range(len(tokens) - 1, 0, -1):
        if tokens[position - 1] != ")" or not _unit(tokens[position]) or _is_name(tokens, position):
            continue
        start = _opening(tokens, position - 1)
        minus = _top_level_minus(tokens, start + 1, position - 1)
        if minus is None or _is_call(tokens, start):
            continue
        left, right = tokens[start + 1 : minus], tokens[minus + 1 : position - 1]
        call = ["hf_span", "(", *left, ",", *right, ",", f"'{_unit(tokens[position])}'", ")"]
        return [*tokens[:start], *call, *tokens[position + 1 :]]
    return None


_MAY_PRECEDE = frozenset({
    "select", "where", "and", "or", "not", "then", "else", "when", "by", "on", "having", "between", "distinct", "as",
    "case",
})  # fmt: skip
"""Words that may stand before a bracket without naming a function."""


def _is_call(tokens: Sequence[str], opening: int) -> bool:
    """Return whether the bracket at ``opening`` holds the arguments of a function."""
    return opening > 0 and tokens[opening - 1][0].isalpha() and tokens[opening - 1].lower() not in _MAY_PRECEDE


def _is_name(tokens: Sequence[str], position: int) -> bool:
    """A word after ``as`` is a name, and so is one before a bracket or a dot."""
    after = tokens[position + 1] if position + 1 < len(tokens) else ""
    return tokens[position - 1].lower() == "as" or after in ("(", ".")


def _top_level_minus(tokens: Sequence[str], start: int, end: int) -> int | None:
    depth = 0
    for position in range(start, end):
        depth += {"(": 1, ")": -1}.get(tokens[position], 0)
        if depth == 0 and tokens[position] == "-" and position > start:
            return position
    return None


def _shift(tokens: list[str]) -> list[str] | None:
    """``x - 24 hours`` becomes ``hf_shift(x, -24, 'hour')``; ``x`` is a name, a call or a bracket."""
    for position in range(2, len(tokens) - 1):
        if tokens[position - 1] not in "+-" or not _is_amount(tokens, position):
            continue
        end = _closing(tokens, position) if tokens[position] == "(" else position
        if end + 1 >= len(tokens) or not _unit(tokens[end + 1]):
            continue
        start = _operand(tokens, position - 2)
        sign = "-" if tokens[position - 1] == "-" else ""
        amount = tokens[position : end + 1]
        call = ["hf_shift", "(", *tokens[start : position - 1], ",", *([sign] if sign else []), *amount]
        call += [",", f"'{_unit(tokens[end + 1])}'", ")"]
        return [*tokens[:start], *call, *tokens[end + 2 :]]
    return None


def _is_amount(tokens: Sequence[str], position: int) -> bool:
    return tokens[position] == "(" or tokens[position][0].isdigit()


def _operand(tokens: Sequence[str], end: int) -> int:
    """Return where the operand begins that ends at ``end``."""
    start = _opening(tokens, end) if tokens[end] == ")" else end
    if tokens[end] == ")" and _is_call(tokens, start):
        start -= 1
    while start >= 2 and tokens[start - 1] == ".":
        start -= 2
    return start


def _cast(tokens: list[str]) -> list[str] | None:
    """``CAST(x AS DECIMAL(8, 2))`` becomes ``hf_decimal(x, 8, 2)``; other casts stay."""
    for position in range(len(tokens) - 1):
        if tokens[position].lower() != "cast" or tokens[position + 1] != "(":
            continue
        end = _closing(tokens, position + 1)
        inside = tokens[position + 2 : end]
        at = _top_level_as(inside)
        if at is None or at + 1 >= len(inside) or inside[at + 1].lower() not in ("decimal", "dec", "numeric"):
            continue
        precision = [token for token in inside[at + 2 :] if token not in "()"] or ["15", ",", "0"]
        call = ["hf_decimal", "(", *inside[:at], ",", *precision, ")"]
        return [*tokens[:position], *call, *tokens[end + 1 :]]
    return None


def _top_level_as(tokens: Sequence[str]) -> int | None:
    depth = 0
    for position, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth == 0 and token.lower() == "as":
            return position
    return None


_FUNCTIONS = {
    "decimal": "hf_decimal", "dec": "hf_decimal", "integer": "hf_integer", "int": "hf_integer",
    "smallint": "hf_integer", "bigint": "hf_integer", "float": "hf_float", "double": "hf_float",
    "char": "hf_char", "varchar": "hf_char",
    "date": "hf_date", "time": "hf_time", "timestamp": "hf_timestamp", "year": "hf_year", "month": "hf_month",
    "day": "hf_day", "hour": "hf_hour", "minute": "hf_minute", "second": "hf_second", "days": "hf_days",
    "dayofweek": "hf_dayofweek", "ucase": "upper", "lcase": "lower", "posstr": "hf_posstr", "locate": "hf_locate",
    "left": "hf_left", "right": "hf_right", "translate": "upper",
}  # fmt: skip


def _functions(tokens: list[str]) -> list[str]:
    """Names of functions that the database has not, or has with another meaning."""
    out = list(tokens)
    for position in range(len(tokens) - 1):
        named = position and tokens[position - 1].lower() == "as"
        if tokens[position + 1] == "(" and tokens[position].lower() in _FUNCTIONS and not named:
            out[position] = _FUNCTIONS[tokens[position].lower()]
    return out


def _ends(tokens: list[str]) -> list[str]:
    """``FETCH FIRST n ROWS ONLY`` becomes LIMIT; ``FOR READ ONLY``, ``FOR FETCH ONLY`` and ``WITH UR`` go."""
    text = [token.lower() for token in tokens]
    while text[-2:] == ["with", "ur"] or text[-3:] in (["for", "read", "only"], ["for", "fetch", "only"]):
        cut = 2 if text[-2:] == ["with", "ur"] else 3
        tokens, text = tokens[:-cut], text[:-cut]
    if text[-1:] == ["only"] and "fetch" in text:
        start = len(text) - 1 - text[::-1].index("fetch")
        count = next((token for token in tokens[start:] if token.isdigit()), "1")
        tokens = [*tokens[:start], "limit", count]
    return tokens


def _repeated(once: Callable[[list[str]], list[str] | None]) -> Callable[[list[str]], list[str]]:
    """Return the step that does ``once`` until there is nothing left to do, within reason."""

    def step(tokens: list[str]) -> list[str]:
        for _ in range(_MOST_REWRITTEN):
            done = once(tokens)
            if done is None:
                return tokens
            tokens = done
        raise InputError(f"more than {_MOST_REWRITTEN} terms to rewrite", remedy="ask for less at once")

    return step


_STEPS: tuple[Callable[[list[str]], list[str]], ...] = (
    _ends, _special_names, _repeated(_span), _repeated(_shift), _repeated(_cast), _functions,
)  # fmt: skip
