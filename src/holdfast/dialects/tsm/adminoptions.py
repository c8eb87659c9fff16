"""The options of ``dsmadmc``, as one table: the shortest form of each; those in full capitals cannot be shortened."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.kernel.errors import InputError

_OPTIONS = {
    "ID": 2, "PASSWORD": 2, "PASSWORDFILE": 9, "SERVERNAME": 2, "DATAONLY": 8, "COMMADELIMITED": 5,
    "TABDELIMITED": 3, "DISPLAYMODE": 7, "NOCONFIRM": 3, "ITEMCOMMIT": 5, "QUIET": 5, "OUTFILE": 3, "SYSFILE": 7,
    "ALWAYSPROMPT": 7, "CONSOLEMODE": 3, "MOUNTMODE": 5, "ERRORLOGNAME": 12, "NEWLINEAFTERPROMPT": 18,
}  # fmt: skip
"""PASSWORDFILE (keeps the secret out of the arguments) and SYSFILE are Holdfast's."""
_NEED_VALUE = frozenset({"ID", "PASSWORD", "PASSWORDFILE", "SERVERNAME", "SYSFILE", "DISPLAYMODE"})


@dataclass(slots=True)
class Arguments:
    """The command line, read."""

    options: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def has(self, option: str) -> bool:
        """Return whether an option stands there, and not with the value NO."""
        return self.options.get(option, "no").lower() not in ("no", "n")

    @property
    def data_only(self) -> bool:
        """Whether only data is printed."""
        return self.has("DATAONLY")


def read_arguments(arguments: list[str]) -> Arguments:
    """Read options up to the first word that is none; the rest is the command. Raises ``InputError``."""
    read = Arguments()
    for position, word in enumerate(arguments):
        if not word.startswith("-"):
            read.words = arguments[position:]
            break
        name, _, value = word[1:].partition("=")
        upper = name.upper().replace("_", "")
        full = next((o for o, short in _OPTIONS.items() if o.startswith(upper) and len(upper) >= short), None)
        if full is None or (full in _NEED_VALUE and not value):
            raise InputError(f"ANS1107E Invalid option/value: '{word}'", remedy="see the reference of dsmadmc")
        read.options[full] = value or "yes"
    if read.options.get("DISPLAYMODE", "LIST").upper() not in ("LIS", "LIST", "TAB", "TABL", "TABLE"):
        raise InputError("ANS1107E Invalid option/value: -DISPLAYMODE", remedy="LIST or TABLE")
    return read
