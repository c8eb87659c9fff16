"""SELECT: the statement rewritten, its tables made ready, its answer as text in the C locale."""

from __future__ import annotations

import re

from holdfast.backup.plan.sqltext import rewrite, words
from holdfast.backup.ports import MemoryTable
from holdfast.backup.service.admin.reply import Args, Reply, answer, refuse
from holdfast.backup.service.admin.tables import memory_table
from holdfast.backup.service.catalog.views import BY_NAME
from holdfast.backup.service.core import Core

_NAME = re.compile(r"[A-Za-z_][\w]*")


def select(core: Core, args: Args) -> Reply:
    """SELECT ...: read-only, over the tables that SYSCAT.TABLES lists."""
    if core.selector is None:
        raise refuse("invalid", "ANR2103E SELECT is not offered on this catalog", "use the QUERY commands")
    statement = rewrite(f"select {args.get('query', '')}")
    named = words(statement)
    views: dict[str, str] = {}
    tables: dict[str, MemoryTable] = {}
    with core.database.read() as connection:
        for name, view in BY_NAME.items():
            if name not in named:
                continue
            if view.source:
                views[name] = view.sql(core.selector.schema)
                if view.besides:
                    tables[view.besides] = memory_table(core, connection, view.besides, view.names)
            else:
                tables[name] = memory_table(core, connection, name, view.names)
    found = core.selector.select(statement, views, tables, core.now_ns())
    rows = [tuple(shown(value) for value in row) for row in found.rows]
    columns = tuple(
        name.upper() if _NAME.fullmatch(name) else f"Unnamed[{number}]" for number, name in enumerate(found.columns, 1)
    )
    return answer("SELECT", columns, rows)


def shown(value: object) -> str:
    """Return a value of SQL as text: nothing for NULL, a point for decimals, no separators of thousands."""
    match value:
        case None:
            return ""
        case float():
            text = f"{value:.6f}".rstrip("0")
            return f"{text}0" if text.endswith(".") else text
        case bytes():
            return value.hex().upper()
        case _:
            return str(value)


COMMANDS = {"select": select}
