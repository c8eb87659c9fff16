"""The operations that run as numbered processes: each a thin shell around its service, with messages and figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from sqlalchemy import delete, select

from holdfast.backup.service.admin import storagework
from holdfast.backup.service.admin.database import HISTORY_FILE, write_history
from holdfast.backup.service.admin.nodes import delete_filespace
from holdfast.backup.service.admin.reply import Args, Reply, choice, identifier
from holdfast.backup.service.catalog.schema import volhistory
from holdfast.backup.service.catalog.storage import POOL_HISTORY
from holdfast.backup.service.core import Core
from holdfast.backup.service.databasebackup import backup_database
from holdfast.backup.service.expire import expire_inventory
from holdfast.backup.service.processes import Process
from holdfast.backup.service.reconcile import reconcile_volumes

_DAY_NS = 86_400 * 1_000_000_000


def _backup_db(core: Core, args: Args, process: Process) -> Reply:
    devclass = identifier(args, "devclass")
    full = choice(args, "type", "INCREMENTAL", "INCREMENTAL", "FULL") == "FULL"  # the default of section 15
    started = core.log("ANR2280I" if full else "ANR2281I", process=process.number, number=process.number)
    done = backup_database(core, devclass, full=full, command=f"BACKUP DB DEVCLASS={devclass}")
    texts = [started]
    if done.promoted:
        texts.append(core.log("ANR4552I", process=process.number))
    texts.append(
        core.log(
            "ANR4550I" if done.full else "ANR4551I", process=process.number, number=process.number, pages=done.blocks
        )
    )
    write_history(core, core.directory / HISTORY_FILE)
    texts.append(core.log("ANR2462I", process=process.number))
    return Reply(texts, figures={**asdict(done), "volumes": list(done.volumes)})


def _reconcile(core: Core, args: Args, process: Process) -> Reply:
    devclass = args.get("devclass", "*").upper()
    done = reconcile_volumes(
        core, devclass, fix=choice(args, "fix", "NO", "YES", "NO") == "YES", process=process.number
    )
    return Reply(done.messages, figures={"found": done.found, "settled": done.settled})


def _expire(core: Core, _args: Args, process: Process) -> Reply:
    started = core.log("ANR0811I", process=process.number, number=process.number)
    done = expire_inventory(core, process)
    texts = [core.log("ANR1341I", process=process.number, name=name, pool=pool) for name, pool in done.volumes]
    archives = done.archives + done.archive_objects
    fields = {"number": process.number, "objects": done.versions, "archives": archives}
    ended = core.log("ANR0812I", process=process.number, **fields)
    return Reply([started, *texts, ended], figures=asdict(done))


def _delete_volhistory(core: Core, args: Args, process: Process) -> Reply:
    """TYPE=DBBACKUP TODATE=TODAY-n: whole series older than that, never the last one."""
    text = args.get("todate", "").upper().replace("TODAY", "").lstrip("-") or "0"
    before = core.now_ns() - int(text if text.isdigit() else "0") * _DAY_NS
    with core.database.read() as connection:
        mine = volhistory.c.type.not_in(POOL_HISTORY)
        rows = connection.execute(select(volhistory).where(mine).order_by(volhistory.c.series)).all()
    last = max((row.series for row in rows), default=0)
    young = {row.series for row in rows if row.at_ns > before}
    doomed = [row for row in rows if row.series != last and row.series not in young]
    for row in doomed:
        core.media_of_class(row.devclass).delete(row.volume)
        with core.database.write() as connection:
            connection.execute(delete(volhistory).where(volhistory.c.id == row.id))
    return Reply([core.log("ANR2467I", process=process.number, count=len(doomed))])


PROCESSES: dict[str, Callable[[Core, Args, Process], Reply]] = {
    **storagework.PROCESSES,
    "backup db": _backup_db,
    "delete filespace": delete_filespace,
    "reconcile volumes": _reconcile,
    "expire inventory": _expire,
    "delete volhistory": _delete_volhistory,
}
"""By operation name. RECONCILE VOLUMES with FIX=NO reports and succeeds: finding differences is its job."""
