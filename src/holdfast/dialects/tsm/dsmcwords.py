"""The command line of ``dsmc`` as one table: verbs, what follows them, options, and how short each may be written.

Options may stand anywhere and are written ``-name`` or ``-name=value``. A word that stands in no table is an error with
its remedy, before anything is done.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.kernel.errors import InputError

OPTIONS = {
    "OPTFILE": 4, "SERVERNAME": 2, "SUBDIR": 2, "INACTIVE": 3, "LATEST": 2, "PICK": 2, "PITDATE": 4, "PITTIME": 4,
    "FROMDATE": 5, "FROMTIME": 5, "TODATE": 3, "TOTIME": 3, "REPLACE": 3, "IFNEWER": 3, "VIRTUALNODENAME": 12,
    "FROMNODE": 5, "QUIET": 5, "VERBOSE": 4, "DATEFORMAT": 4, "SNAPSHOTROOT": 12, "ERRORLOGNAME": 11, "DOMAIN": 3,
    "NOPROMPT": 3, "PRESERVEPATH": 8, "FILELIST": 5, "DESCRIPTION": 3, "ARCHMC": 5, "DELETEFILES": 3, "ABSOLUTE": 3,
    "DETAIL": 3, "DELTYPE": 4, "FILENAME": 5, "SCHEDLOGNAME": 9, "SCHEDMODE": 8, "ONCE": 4, "PROMPTADDRESS": 13,
    "FOREGROUND": 10, "REPORTTO": 8,
}  # fmt: skip
"""Option → shortest form. The last four are between ``dsmcad`` and the ``dsmc schedule`` that it starts."""
VERBS = (
    ("incremental", 1), ("selective", 1), ("archive", 2), ("restore", 3), ("retrieve", 3), ("query", 1), ("delete", 3),
    ("expire", 3), ("set", 3), ("preview", 3), ("macro", 2), ("schedule", 3), ("loop", 1),
)  # fmt: skip
QUERIES = (
    ("backup", 1), ("archive", 2), ("filespace", 1), ("inclexcl", 5), ("mgmtclass", 1), ("options", 1), ("session", 2),
    ("schedule", 2), ("access", 2),
)  # fmt: skip
DELETIONS = (("archive", 2), ("backup", 1), ("access", 2), ("filespace", 1))
SETTINGS = (("access", 1),)
PREVIEWS = (("backup", 1), ("archive", 2))
KINDS = (("backup", 1), ("archive", 1))
_SWITCHES = frozenset(
    {
        "INACTIVE",
        "LATEST",
        "PICK",
        "IFNEWER",
        "QUIET",
        "VERBOSE",
        "NOPROMPT",
        "DELETEFILES",
        "ABSOLUTE",
        "DETAIL",
        "ONCE",
        "FOREGROUND",
    }
)


@dataclass(slots=True)
class Arguments:
    """The command line, read: verb, positional words, options."""

    verb: str = ""
    words: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)

    def yes(self, name: str, default: str = "no") -> bool:
        """Return whether a yes/no option says yes."""
        return self.options.get(name, default).lower().startswith("y")

    def has(self, name: str) -> bool:
        """Return whether a switch was given."""
        return name in self.options


def read_arguments(arguments: list[str]) -> Arguments:
    """Read the command line. Raises ``InputError`` for an unknown verb or option."""
    read = Arguments()
    for word in arguments:
        if word.startswith("-") and len(word) > 1:
            name, equals, value = word[1:].partition("=")
            full = option(name, word)
            if full not in _SWITCHES and not value:
                raise InputError(f"ANS1107E Invalid option/value: '{word}'", remedy=f"write -{full.lower()}=VALUE")
            if full in _SWITCHES and equals and value.lower() not in ("yes", "y"):
                raise InputError(f"ANS1107E Invalid option/value: '{word}'", remedy=f"write -{full.lower()} alone")
            read.options[full] = value
        elif not read.verb:
            read.verb = full_word(word, VERBS)
        else:
            read.words.append(word)
    return read


def option(name: str, word: str) -> str:
    """Return an option's full name."""
    upper = name.upper()
    full = next((o for o, short in OPTIONS.items() if o.startswith(upper) and len(upper) >= short), None)
    if full is None:
        raise InputError(f"ANS1107E Invalid option/value: '{word}'", remedy="see the reference of dsmc")
    return full


def full_word(word: str, choices: tuple[tuple[str, int], ...], *, before: str = "") -> str:
    """Return the full form of a shortened word."""
    small = word.lower()
    for full, shortest in choices:
        if full.startswith(small) and len(small) >= shortest:
            return full
    typed = f"{before} {word}".strip()
    raise InputError(f"ANS1138E The '{typed}' command is not known", remedy=", ".join(full for full, _ in choices))
