"""The operations that run as numbered processes: each a thin shell around its service, with messages and figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from sqlalchemy import delete, select

from holdfast.backup.model import messages
from holdfast.backup.service.admin.reply import ERROR, Args, Reply, choice, identifier
from holdfast.backup.service.catalog.schema import volhistory
from holdfast.backup.service.core import Core
from holdfast.backup.service.databasebackup import backup_database
from holdfast.backup.service.expire import expire_inventory
from holdfast.backup.service.rebuild import rebuild_pool
from holdfast.backup.service.reconcile import reconcile_volumes
from holdfast.backup.service.stgpool import audit_volume, backup_stgpool, delete_volume, restore_stgpool

_DAY_NS = 86_400 * 1_000_000_000


def _backup_stgpool(core: Core, args: Args, process: int) -> Reply:
    primary, copy = identifier(args, "primary"), identifier(args, "copy")
    started = core.log("ANR1210I", process=process, primary=primary, copy=copy, number=process)
    done = backup_stgpool(core, primary, copy)
    fields = {"groups": done.groups, "bytes": done.bytes, "bad": done.unreadable}
    ended = core.log("ANR1212I", process=process, primary=primary, copy=copy, **fields)
    figures: dict[str, object] = {"groups": done.groups, "bytes": done.bytes, "unreadable": done.unreadable}
    return Reply([started, *done.messages, ended], figures=figures, code=ERROR if done.unreadable else 0)


def _restore_stgpool(core: Core, args: Args, process: int) -> Reply:
    primary = identifier(args, "primary")
    done = restore_stgpool(core, primary)
    ended = core.log("ANR1230I", process=process, primary=primary, groups=done.groups, bad=done.unreadable)
    figures: dict[str, object] = {"groups": done.groups, "bytes": done.bytes, "unreadable": done.unreadable}
    return Reply([*done.messages, ended], figures=figures, code=ERROR if done.unreadable else 0)


def _backup_db(core: Core, args: Args, process: int) -> Reply:
    devclass = identifier(args, "devclass")
    full = choice(args, "type", "INCREMENTAL", "INCREMENTAL", "FULL") == "FULL"  # the default of section 15
    started = core.log("ANR2280I" if full else "ANR2281I", process=process, number=process)
    done = backup_database(core, devclass, full=full, command=f"BACKUP DB DEVCLASS={devclass}")
    texts = [started]
    if done.promoted:
        texts.append(core.log("ANR4552I", process=process))
    texts.append(core.log("ANR4550I" if done.full else "ANR4551I", process=process, number=process, pages=done.blocks))
    texts.append(core.log("ANR2462I", process=process))
    return Reply(texts, figures={**asdict(done), "volumes": list(done.volumes)})


def _reconcile(core: Core, args: Args, process: int) -> Reply:
    devclass = args.get("devclass", "*").upper()
    done = reconcile_volumes(core, devclass, fix=choice(args, "fix", "NO", "YES", "NO") == "YES", process=process)
    return Reply(done.messages, figures={"found": done.found, "settled": done.settled})


def _audit(core: Core, args: Args, process: int) -> Reply:
    name = identifier(args, "name")
    done = audit_volume(core, name, fix=choice(args, "fix", "NO", "YES", "NO") == "YES")
    fields = {"groups": done.inspected, "bad": done.damaged, "missing": done.missing}
    ended = core.log("ANR2314I", process=process, name=name, **fields)
    figures: dict[str, object] = {"inspected": done.inspected, "damaged": done.damaged, "missing": done.missing}
    return Reply([*done.messages, ended], figures=figures, code=ERROR if done.damaged or done.missing else 0)


def _expire(core: Core, _args: Args, process: int) -> Reply:
    started = core.log("ANR0811I", process=process, number=process)
    done = expire_inventory(core)
    texts = [core.log("ANR1341I", process=process, name=name, pool=pool) for name, pool in done.volumes]
    ended = core.log("ANR0812I", process=process, number=process, objects=done.versions, archives=done.archives)
    return Reply([started, *texts, ended], figures=asdict(done))


def _delete_volume(core: Core, args: Args, process: int) -> Reply:
    name = identifier(args, "name")
    delete_volume(core, name, discard=choice(args, "discarddata", "NO", "YES", "NO") == "YES")
    return Reply([core.log("ANR1999I", process=process, what=f"DELETE VOLUME {name}")])


def _delete_volhistory(core: Core, args: Args, process: int) -> Reply:
    """TYPE=DBBACKUP TODATE=TODAY-n: whole series older than that, never the last one."""
    text = args.get("todate", "").upper().replace("TODAY", "").lstrip("-") or "0"
    before = core.now_ns() - int(text if text.isdigit() else "0") * _DAY_NS
    with core.database.read() as connection:
        rows = connection.execute(select(volhistory).order_by(volhistory.c.series)).all()
    last = max((row.series for row in rows), default=0)
    young = {row.series for row in rows if row.at_ns > before}
    doomed = [row for row in rows if row.series != last and row.series not in young]
    for row in doomed:
        core.media_of_class(row.devclass).delete(row.volume)
        with core.database.write() as connection:
            connection.execute(delete(volhistory).where(volhistory.c.id == row.id))
    return Reply([core.log("ANR2467I", process=process, count=len(doomed))])


def _rebuild(core: Core, args: Args, process: int) -> Reply:
    pool = identifier(args, "name")
    done = rebuild_pool(core, pool)
    text = messages.text("ANR1999I", what=f"REBUILD of {pool}: {done.groups} groups of {done.volumes} volumes entered")
    core.log_text(text, process=process)
    return Reply([text], figures=asdict(done))


PROCESSES: dict[str, Callable[[Core, Args, int], Reply]] = {
    "backup stgpool": _backup_stgpool,
    "restore stgpool": _restore_stgpool,
    "backup db": _backup_db,
    "reconcile volumes": _reconcile,
    "audit volume": _audit,
    "expire inventory": _expire,
    "delete volume": _delete_volume,
    "delete volhistory": _delete_volhistory,
    "rebuild stgpool": _rebuild,
}
"""By operation name. RECONCILE VOLUMES with FIX=NO reports and succeeds: finding differences is its job."""
