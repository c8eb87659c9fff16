"""The database's administration: its backup trigger, the log mode, and the volume history as a file (section 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from holdfast.backup.model import messages
from holdfast.backup.plan.dbtrigger import NORMAL, ROLLFORWARD, Due, LogState, Trigger, due
from holdfast.backup.service.admin.query import stamp
from holdfast.backup.service.admin.reply import Args, Reply, answer, choice, identifier, number, refuse
from holdfast.backup.service.admin.storage import existing
from holdfast.backup.service.catalog.schema import devclasses, groups, volhistory
from holdfast.backup.service.catalog.storage import catalog_records, dbtriggers
from holdfast.backup.service.core import Core, set_setting, setting
from holdfast.kernel.sizes import MIB
from holdfast.runtime.secretfile import write_secret

_MODE, _LOG_SIZE = "logmode", "logsize_mb"
_LOG_MB = 512
HISTORY_FILE = "volhist.out"


def define_trigger(core: Core, args: Args) -> Reply:
    """DEFINE DBBACKUPTRIGGER DEVCLASS= LOGFULLPCT=50 INCRDEVCLASS= NUMINCREMENTAL=6."""
    return _write(core, args, "DEFINE DBBACKUPTRIGGER", None)


def update_trigger(core: Core, args: Args) -> Reply:
    """UPDATE DBBACKUPTRIGGER: what is not named keeps its value."""
    with core.database.read() as connection:
        old = _trigger(connection)
    if old is None:
        raise refuse("not-found", messages.text("ANR2034E", what="UPDATE DBBACKUPTRIGGER"))
    return _write(core, args, "UPDATE DBBACKUPTRIGGER", old)


def _write(core: Core, args: Args, what: str, old: Trigger | None) -> Reply:
    with core.database.write() as connection:
        if old is None and _trigger(connection) is not None:
            raise refuse("exists", messages.text("ANR2101E", what=what, kind="Database backup trigger", name="of it"))
        base = old or Trigger("", "")
        devclass = identifier(args, "devclass") if old is None or args.get("devclass") else base.devclass
        values = {
            "id": 1,
            "devclass": devclass,
            "incrdevclass": args.get("incrdevclass", base.incrdevclass).upper(),
            "logfull_pct": number(args, "logfullpct", base.logfull_pct, 1, 99),
            "numincremental": number(args, "numincremental", base.numincremental, 0, 32),
        }
        for name in {devclass, values["incrdevclass"] or devclass}:
            existing(connection, devclasses, "Device class", str(name), what)
        connection.execute(delete(dbtriggers))
        connection.execute(insert(dbtriggers), values)
    core.changed.set()
    return Reply([core.log("ANR1999I", what=what)])


def delete_trigger(core: Core, _args: Args) -> Reply:
    """DELETE DBBACKUPTRIGGER."""
    with core.database.write() as connection:
        if not connection.execute(delete(dbtriggers)).rowcount:
            raise refuse("not-found", messages.text("ANR2034E", what="DELETE DBBACKUPTRIGGER"))
    return Reply([core.log("ANR1999I", what="DELETE DBBACKUPTRIGGER")])


def query_trigger(core: Core, _args: Args) -> Reply:
    """QUERY DBBACKUPTRIGGER."""
    columns = (
        "Full Device Class", "Incremental Device Class", "Log Full Percentage", "Incrementals Between Fulls",
        "Log Mode", "Pct Log Used",
    )  # fmt: skip
    with core.database.read() as connection:
        trigger, log = _trigger(connection), log_state(connection)
    rows = []
    if trigger is not None:
        used = f"{100 * log.used_bytes / log.capacity_bytes:.1f}"
        incremental = trigger.incrdevclass or trigger.devclass
        numbers = (str(trigger.logfull_pct), str(trigger.numincremental))
        rows.append((trigger.devclass, incremental, *numbers, log.mode, used))
    return answer("QUERY DBBACKUPTRIGGER", columns, rows)


def set_logmode(core: Core, args: Args) -> Reply:
    """SET LOGMODE NORMAL|ROLLFORWARD: the trigger works in ROLLFORWARD only."""
    mode = choice(args, "value", "", NORMAL, ROLLFORWARD)
    with core.database.write() as connection:
        set_setting(connection, _MODE, mode)
    return Reply([core.log("ANR1999I", what=f"SET LOGMODE {mode}")])


def set_logsize(core: Core, args: Args) -> Reply:
    """SET LOGSIZE megabytes: how much of the log between two database backups counts as full (Holdfast's own)."""
    size = number(args, "value", _LOG_MB, 1, 1_048_576)
    with core.database.write() as connection:
        set_setting(connection, _LOG_SIZE, str(size))
    return Reply([core.log("ANR1999I", what=f"SET LOGSIZE {size}")])


def trigger_due(core: Core) -> Due | None:
    """Return the database backup that the trigger asks for now, or None."""
    with core.database.read() as connection:
        trigger = _trigger(connection)
        return due(trigger, log_state(connection)) if trigger is not None else None


def log_state(connection: Connection) -> LogState:
    """Return how full the log is: the catalog's records since the last database backup."""
    kinds = volhistory.c.type.in_(("BACKUPFULL", "BACKUPINCR"))
    history = connection.execute(
        select(volhistory.c.type, volhistory.c.operation, volhistory.c.series, func.max(volhistory.c.at_ns))
        .where(kinds)
        .group_by(volhistory.c.type, volhistory.c.operation, volhistory.c.series)
        .order_by(volhistory.c.series, volhistory.c.operation)
    ).all()
    since = max((row[3] for row in history), default=0)
    increments = history[-1].operation if history else 0
    written = (
        select(func.coalesce(func.sum(groups.c.stored_bytes), 0))
        .join(catalog_records, catalog_records.c.grp == groups.c.id)
        .where(catalog_records.c.at_ns > since)
    )
    used = int(connection.execute(written).scalar_one())
    capacity = int(setting(connection, _LOG_SIZE) or _LOG_MB) * MIB
    return LogState(setting(connection, _MODE) or NORMAL, used, capacity, bool(history), int(increments))


def _trigger(connection: Connection) -> Trigger | None:
    row = connection.execute(select(dbtriggers)).first()
    return Trigger(row.devclass, row.incrdevclass, row.logfull_pct, row.numincremental) if row is not None else None


def backup_volhistory(core: Core, args: Args) -> Reply:
    """BACKUP VOLHISTORY FILENAMES=: write the volume history into files, by default volhist.out of the server."""
    names = [name for name in args.get("filenames", "").split(",") if name]
    if bad := next((name for name in names if not Path(name).is_absolute()), ""):
        raise refuse("invalid", f"ANR2020E Invalid parameter - FILENAMES={bad}", "full paths")
    for path in [Path(name) for name in names] or [core.directory / HISTORY_FILE]:
        write_history(core, path)
    return Reply([core.log("ANR2462I")])


def write_history(core: Core, path: Path) -> None:
    """Write the volume history as text, whole or not at all: what is needed to find the newest database series."""
    with core.database.read() as connection:
        rows = connection.execute(select(volhistory).order_by(volhistory.c.id)).all()
    write_secret(path, "".join(_entry(row) for row in rows).encode())


def _entry(row: Any) -> str:
    fields = (
        ("Operation Date/Time", stamp(row.at_ns)), ("Volume Type", row.type), ("Backup Series", row.series),
        ("Backup Operation", row.operation), ("Volume Seq", row.sequence), ("Device Class Name", row.devclass),
        ("Volume Name", f'"{row.volume}"'), ("Command", row.command),
    )  # fmt: skip
    return "".join(f" {name}: {value}\n" for name, value in fields) + "*" * 50 + "\n"


COMMANDS = {
    "define dbbackuptrigger": define_trigger,
    "update dbbackuptrigger": update_trigger,
    "delete dbbackuptrigger": delete_trigger,
    "query dbbackuptrigger": query_trigger,
    "set logmode": set_logmode,
    "set logsize": set_logsize,
    "backup volhistory": backup_volhistory,
}
"""By operation name."""
