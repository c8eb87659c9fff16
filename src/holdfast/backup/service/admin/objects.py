"""Operations on archive objects at a target: list them, mark them, copy them, drop the source's volume record.

Nobody needs these in daily work. They are the administrator's hands when source and target disagree, and how a drill
plants the differences that reconciliation must find.
"""

from __future__ import annotations

from holdfast.backup.service.admin.query import stamp
from holdfast.backup.service.admin.reply import NOTFOUND, Args, Reply, identifier
from holdfast.backup.service.core import Core
from holdfast.backup.service.vault import copy_object, list_objects, mark_object


def query_object(core: Core, args: Args) -> Reply:
    """QUERY OBJECT node: the archive objects that this server keeps for another."""
    columns = ("Object Name", "Bytes", "Date", "Marked?", "Present?")
    found = list_objects(core, identifier(args, "node"))
    rows: list[tuple[str, ...]] = [
        (f.name, str(f.size_bytes), stamp(f.written_ns), "Yes" if f.marked else "No", "Yes" if f.present else "No")
        for f in found
    ]
    return Reply([], columns, rows, code=0 if rows else NOTFOUND)


def mark(core: Core, args: Args) -> Reply:
    """MARK OBJECT node name: mark for deletion, as the source would."""
    mark_object(core, identifier(args, "node"), identifier(args, "name"), active=False)
    return Reply([core.log("ANR1999I", what=f"MARK OBJECT {args['name']}")])


def copy(core: Core, args: Args) -> Reply:
    """COPY OBJECT node name newname: keep a second object with the same bytes."""
    copy_object(core, identifier(args, "node"), identifier(args, "name"), identifier(args, "newname"))
    return Reply([core.log("ANR1999I", what=f"COPY OBJECT {args['name']} {args['newname']}")])
