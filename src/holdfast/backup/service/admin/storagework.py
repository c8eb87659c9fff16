"""The processes of storage pools: each a thin shell around its service, with messages, figures and a return code."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from holdfast.backup.model import messages
from holdfast.backup.service.admin.reply import ERROR, Args, Reply, choice, identifier, number, refuse
from holdfast.backup.service.audit import audit_volumes
from holdfast.backup.service.catalog.schema import volumes
from holdfast.backup.service.core import Core, pool_row
from holdfast.backup.service.migrate import migrate_pool, move_data
from holdfast.backup.service.mover import MoveFigures
from holdfast.backup.service.processes import Process
from holdfast.backup.service.rebuild import rebuild_pool
from holdfast.backup.service.reclaim import reclaim_pool
from holdfast.backup.service.stgpool import backup_stgpool, restore_stgpool, restore_volumes
from holdfast.backup.service.volumes import delete_volume, named

_DAY_S = 86_400


def _yes(args: Args, name: str) -> bool:
    return choice(args, name, "NO", "YES", "NO") == "YES"


def _figures(done: MoveFigures) -> dict[str, object]:
    return {"groups": done.groups, "bytes": done.bytes, "unreadable": done.unreadable}


def _backup_stgpool(core: Core, args: Args, process: Process) -> Reply:
    """BACKUP STGPOOL primary copy MAXPROCESS= PREVIEW=."""
    primary, copy = identifier(args, "primary"), identifier(args, "copy")
    number(args, "maxprocess", 1, 1, 999)
    fields: dict[str, Any] = {"primary": primary, "copy": copy}
    started = core.log("ANR1210I", process=process.number, number=process.number, **fields)
    done = backup_stgpool(core, primary, copy, process, preview=_yes(args, "preview"))
    counted = {"groups": done.groups, "bytes": done.bytes, "bad": done.unreadable}
    ended = core.log("ANR1212I", process=process.number, **fields, **counted)
    return Reply([started, *done.messages, ended], figures=_figures(done), code=ERROR if done.unreadable else 0)


def _restore_stgpool(core: Core, args: Args, process: Process) -> Reply:
    """RESTORE STGPOOL primary COPYSTGPOOL= NEWSTGPOOL= PREVIEW=."""
    primary = identifier(args, "primary")
    done = restore_stgpool(core, primary, process, **_where(args), preview=_yes(args, "preview"))
    ended = core.log("ANR1230I", process=process.number, primary=primary, groups=done.groups, bad=done.unreadable)
    return Reply([*done.messages, ended], figures=_figures(done), code=ERROR if done.unreadable else 0)


def _where(args: Args) -> dict[str, str]:
    return {"into": args.get("newstgpool", "").upper(), "copy": args.get("copystgpool", "").upper()}


def _restore_volume(core: Core, args: Args, process: Process) -> Reply:
    """RESTORE VOLUME name[,name...] COPYSTGPOOL= NEWSTGPOOL= PREVIEW=."""
    names = [name if name.startswith("/") else name.upper() for name in args["name"].split(",")]
    done = restore_volumes(core, names, process, **_where(args), preview=_yes(args, "preview"))
    fields: dict[str, Any] = {"name": ", ".join(names), "groups": done.groups, "bad": done.unreadable}
    ended = core.log("ANR1233I", process=process.number, **fields)
    return Reply([*done.messages, ended], figures=_figures(done), code=ERROR if done.unreadable else 0)


def _migrate(core: Core, args: Args, process: Process) -> Reply:
    """MIGRATE STGPOOL pool LOWMIG= DURATION= RECLAIM=; without a next pool it starts reclamation instead."""
    pool = identifier(args, "name")
    with core.database.read() as connection:
        row = pool_row(connection, pool)
    duration = number(args, "duration", 0, 1, 9_999)
    if not row.next_pool:
        return _reclaim_now(core, pool, process, None, duration, None)
    low = number(args, "lowmig", row.lowmig, 0, 99)
    fields: dict[str, Any] = {"pool": pool, "number": process.number, "high": row.highmig, "low": low}
    texts = [core.log("ANR1000I", process=process.number, **fields)]
    done = migrate_pool(core, pool, process, low_pct=low, duration_min=duration)
    texts += [*done.moved.messages, core.log("ANR1001I", process=process.number, **_ended(pool, done.moved))]
    figures = {**_figures(done.moved), "stays": [list(item) for item in done.stays], "short": done.short}
    if _yes(args, "reclaim"):
        more = _reclaim_now(core, pool, process, None, duration, None)
        texts += more.messages
    return Reply(texts, figures=figures, code=ERROR if done.moved.unreadable else 0)


def _ended(pool: str, done: MoveFigures) -> dict[str, Any]:
    return {"pool": pool, "groups": done.groups, "bytes": done.bytes, "bad": done.unreadable}


def _reclaim(core: Core, args: Args, process: Process) -> Reply:
    """RECLAIM STGPOOL pool THRESHOLD= DURATION= OFFSITERECLAIMLIMIT=."""
    threshold = number(args, "threshold", 0, 1, 99) or None
    duration = number(args, "duration", 0, 1, 9_999)
    limit = number(args, "offsitereclaimlimit", 0, 0, 99_999, 2**31 - 1) if "offsitereclaimlimit" in args else None
    return _reclaim_now(core, identifier(args, "name"), process, threshold, duration, limit)


def _reclaim_now(
    core: Core, pool: str, process: Process, threshold: int | None, duration: int, limit: int | None
) -> Reply:
    texts = [core.log("ANR4930I", process=process.number, pool=pool, number=process.number)]
    done = reclaim_pool(core, pool, process, threshold_pct=threshold, duration_min=duration, offsite_limit=limit)
    fields: dict[str, Any] = {**_ended(pool, done.moved), "volumes": done.volumes, "repacked": done.repacked}
    texts += [*done.moved.messages, core.log("ANR4932I", process=process.number, **fields)]
    figures = {**_figures(done.moved), "volumes": done.volumes, "repacked": done.repacked}
    figures["passed_over"] = [list(item) for item in done.passed_over]
    return Reply(texts, figures=figures, code=ERROR if done.moved.unreadable else 0)


def _move_data(core: Core, args: Args, process: Process) -> Reply:
    """MOVE DATA volume STGPOOL=."""
    name = args["name"] if args["name"].startswith("/") else identifier(args, "name")
    done = move_data(core, name, process, args.get("stgpool", "").upper())
    fields: dict[str, Any] = {"name": name, "groups": done.groups, "bytes": done.bytes, "bad": done.unreadable}
    ended = core.log("ANR1141I", process=process.number, **fields)
    return Reply([*done.messages, ended], figures=_figures(done), code=ERROR if done.unreadable else 0)


def _audit(core: Core, args: Args, process: Process) -> Reply:
    """AUDIT VOLUME name | STGPOOL= FROMDATE= TODATE=, FIX= SKIPPARTIAL= QUIET=."""
    choice(args, "skippartial", "NO", "YES", "NO")
    if bool(args.get("name")) == bool(args.get("stgpool")):
        raise refuse("invalid", "ANR2022E AUDIT VOLUME takes a volume or STGPOOL=, one of them", "name a volume")
    rows = _rows_of_pool(core, args) if args.get("stgpool") else [named(core, _volume_name(args))]
    done = audit_volumes(core, rows, process, fix=_yes(args, "fix"), quiet=_yes(args, "quiet"))
    name = args.get("name", "").upper() or f"of pool {args['stgpool'].upper()}"
    fields: dict[str, Any] = {"groups": done.inspected, "bad": done.damaged, "missing": done.missing}
    ended = core.log("ANR2314I", process=process.number, name=name, **fields)
    figures: dict[str, object] = {"inspected": done.inspected, "damaged": done.damaged, "missing": done.missing}
    return Reply([*done.messages, ended], figures=figures, code=ERROR if done.damaged or done.missing else 0)


def _volume_name(args: Args) -> str:
    return args["name"] if args["name"].startswith("/") else identifier(args, "name")


def _rows_of_pool(core: Core, args: Args) -> list[Any]:
    """Return a pool's volumes that were last written from FROMDATE through TODATE."""
    pool = identifier(args, "stgpool")
    low, high = _date(core, args, "fromdate", 0), _date(core, args, "todate", 1)
    with core.database.read() as connection:
        pool_row(connection, pool)
        rows = connection.execute(select(volumes).where(volumes.c.pool == pool).order_by(volumes.c.name)).all()
    return [row for row in rows if low <= row.written_ns // 10**9 and (not high or row.written_ns // 10**9 < high)]


def _date(core: Core, args: Args, key: str, days_after: int) -> int:
    """Return the start of a day in seconds, ``mm/dd/yyyy`` or ``TODAY[-n]``; 0 when it is not given."""
    text = args.get(key, "").upper()
    if not text:
        return 0
    try:
        if text.startswith("TODAY"):
            start = datetime.datetime.fromtimestamp(core.now_ns() / 1e9).replace(hour=0, minute=0, second=0)
            start -= datetime.timedelta(days=int(text.removeprefix("TODAY").replace("-", "") or "0"))
        else:
            start = datetime.datetime.strptime(text, "%m/%d/%Y")
    except ValueError as error:
        raise refuse(
            "invalid", f"ANR2020E Invalid parameter - {key.upper()}={text}", "mm/dd/yyyy or TODAY-n"
        ) from error
    return int(start.timestamp()) + days_after * _DAY_S


def _delete_volume(core: Core, args: Args, process: Process) -> Reply:
    """DELETE VOLUME name DISCARDDATA=."""
    name = _volume_name(args)
    delete_volume(core, name, discard=_yes(args, "discarddata"))
    return Reply([core.log("ANR2208I", process=process.number, name=name)])


def _rebuild(core: Core, args: Args, process: Process) -> Reply:
    pool = identifier(args, "name")
    done = rebuild_pool(core, pool)
    text = messages.text("ANR1999I", what=f"REBUILD of {pool}: {done.groups} groups of {done.volumes} volumes entered")
    core.log_text(text, process=process.number)
    figures: dict[str, object] = {"volumes": done.volumes, "groups": done.groups, "damaged": list(done.damaged)}
    return Reply([text], figures=figures)


PROCESSES: dict[str, Callable[[Core, Args, Process], Reply]] = {
    "backup stgpool": _backup_stgpool,
    "restore stgpool": _restore_stgpool,
    "restore volume": _restore_volume,
    "migrate stgpool": _migrate,
    "reclaim stgpool": _reclaim,
    "move data": _move_data,
    "audit volume": _audit,
    "delete volume": _delete_volume,
    "rebuild stgpool": _rebuild,
}
"""By operation name."""
