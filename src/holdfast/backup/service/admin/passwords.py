"""Passwords as the server judges them: how short, how old, how often wrong. The settings and their defaults."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from holdfast.backup.service.admin.reply import Args, Reply, number, refuse
from holdfast.backup.service.core import Core, set_setting, setting

DEFAULTS = {"invalidpwlimit": "0", "passexp": "90", "minpwlength": "0"}
"""INVALIDPWLIMIT 0: no limit; PASSEXP 0: never. [S] 90, [K] the others"""


def limit(connection: Connection, name: str) -> int:
    """Return one of the settings."""
    return int(setting(connection, name) or DEFAULTS[name])


def new_password(connection: Connection, args: Args) -> bytes:
    """Return the password that a command names. Refuses a missing or too short one."""
    text, shortest = args.get("password", ""), limit(connection, "minpwlength")
    if not text:
        raise refuse("invalid", "ANR2022E One or more parameters are missing - PASSWORD")
    if len(text) < shortest:
        raise refuse("invalid", f"ANR2138E the password is shorter than {shortest} characters", "SET MINPWLENGTH")
    return text.encode()


def _setter(name: str, high: int) -> Callable[[Core, Args], Reply]:
    def run(core: Core, args: Args) -> Reply:
        value = number({name: args["value"]}, name, 0, 0, high)
        with core.database.write() as connection:
            set_setting(connection, name, str(value))
        return Reply([core.log("ANR1999I", what=f"SET {name.upper()} {value}")])

    run.__doc__ = f"SET {name.upper()} 0 to {high}."
    return run


COMMANDS = {
    "set invalidpwlimit": _setter("invalidpwlimit", 9_999),
    "set passexp": _setter("passexp", 9_999),
    "set minpwlength": _setter("minpwlength", 64),
}
