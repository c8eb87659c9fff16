"""Nodes: registered, changed, renamed, locked, removed; their filespaces deleted.

A node is never removed while anything is kept for it: its filespaces are deleted first, by name and on purpose.
"""

from __future__ import annotations

import fnmatch
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from holdfast.backup.model import messages
from holdfast.backup.model.privileges import Privilege
from holdfast.backup.service.admin.passwords import new_password
from holdfast.backup.service.admin.query import days_since, stamp
from holdfast.backup.service.admin.reply import ERROR, Args, Reply, answer, choice, identifier, matching, number, refuse
from holdfast.backup.service.catalog.administration import associations, authorities, cloptsets, contacts, events
from holdfast.backup.service.catalog.archive import access_rules, archive_objects, delete_archives
from holdfast.backup.service.catalog.commit import delete_versions
from holdfast.backup.service.catalog.generations import changed
from holdfast.backup.service.catalog.schema import admins, archives, domains, filespaces, metadata, nodes, versions
from holdfast.backup.service.core import Core, exclusive
from holdfast.backup.service.processes import Process
from holdfast.backup.service.signon import credentials

_BATCH = 5_000


def register_node(core: Core, args: Args) -> Reply:
    """REGISTER NODE name password DOMAIN= TYPE=CLIENT|SERVER BACKDELETE=NO ARCHDELETE=YES ... USERID=NONE."""
    name, domain = identifier(args, "name"), args.get("domain", "STANDARD").upper()
    kind = choice(args, "type", "CLIENT", "CLIENT", "SERVER")
    userid = args.get("userid", "NONE").upper()
    with core.database.write() as connection:
        if connection.execute(select(nodes).where(nodes.c.name == name)).first() is not None:
            raise refuse("exists", messages.text("ANR2147E", what="REGISTER NODE", name=name))
        password = new_password(connection, args)
        now_ns = core.now_ns()
        values = {"name": name, "type": kind, "domain": domain, "registered_ns": now_ns, "password_ns": now_ns}
        values.update(_attributes(connection, {"backdelete": "NO", "archdelete": "YES", **args, "domain": domain}))
        connection.execute(insert(nodes), {**values, **credentials(password)})
        if userid != "NONE":
            if connection.execute(select(admins).where(admins.c.name == userid)).first() is not None:
                raise refuse(
                    "exists", messages.text("ANR2101E", what="REGISTER NODE", kind="Administrator", name=userid)
                )
            who = {"name": userid, "registered_ns": now_ns, "password_ns": now_ns, **credentials(password)}
            connection.execute(insert(admins), who)
            owner = {"admin": userid, "privilege": Privilege.NODE.value, "name": name, "level": "OWNER"}
            connection.execute(insert(authorities), owner)
    texts = [core.log("ANR2060I", name=name, domain=domain)]
    return Reply([*texts, *([core.log("ANR2068I", name=userid)] if userid != "NONE" else [])])


def _attributes(connection: Connection, args: Args) -> dict[str, Any]:
    """Return the columns that ``args`` name."""
    values: dict[str, Any] = {}
    if "domain" in args:
        values["domain"] = identifier(args, "domain")
        if connection.execute(select(domains).where(domains.c.name == values["domain"])).first() is None:
            raise refuse(
                "not-found", messages.text("ANR2102E", what="NODE", kind="Policy domain", name=values["domain"])
            )
    if "cloptset" in args:
        values["cloptset"] = args["cloptset"].strip("\"'").upper()
        known = connection.execute(select(cloptsets).where(cloptsets.c.name == values["cloptset"])).first()
        if values["cloptset"] and known is None:
            raise refuse(
                "not-found", messages.text("ANR2102E", what="NODE", kind="Option set", name=values["cloptset"])
            )
    for name in ("backdelete", "archdelete"):
        if name in args:
            values[name] = int(choice(args, name, "", "YES", "NO") == "YES")
    if "compression" in args:
        values["compression"] = choice(args, "compression", "", "CLIENT", "YES", "NO")
    if "maxnummp" in args:
        values["maxnummp"] = number(args, "maxnummp", 1, 0, 999)
    if "passexp" in args:
        values["passexp_days"] = number(args, "passexp", 90, 0, 9_999)
    for name, column in (("contact", "contact"), ("certificate", "certificates")):
        if name in args:
            values[column] = args[name]
    return values


def update_node(core: Core, args: Args) -> Reply:
    """UPDATE NODE name [PASSWORD=] [DOMAIN=] ...: a new domain ends the node's associations."""
    matches, now_ns = matching(args), core.now_ns()
    with core.database.write() as connection:
        chosen = _chosen(connection, matches, args["name"])
        values = _attributes(connection, args)
        if "password" in args:
            values.update(credentials(new_password(connection, args)), password_ns=now_ns, invalid=0)
        elif args.get("forcepwreset", "").upper().startswith("Y"):
            values["password_ns"] = 1  # older than any period
        if not values:
            raise refuse("invalid", "ANR2022E One or more parameters are missing", "name what is to change")
        for row in chosen:
            connection.execute(update(nodes).where(nodes.c.name == row.name).values(values))
            if values.get("domain", row.domain) != row.domain:
                connection.execute(delete(associations).where(associations.c.node == row.name))
    core.schedules_changed.set()
    return Reply([core.log("ANR2063I", name=row.name) for row in chosen])


def _chosen(connection: Connection, matches: Any, name: str) -> list[Any]:
    chosen = [row for row in connection.execute(select(nodes)).all() if matches(row.name)]
    if not chosen:
        raise refuse("not-found", messages.text("ANR2102E", what="NODE", kind="Node", name=name.upper()))
    return chosen


def _lock(core: Core, args: Args, locked: int) -> Reply:
    with core.database.write() as connection:
        chosen = _chosen(connection, matching(args), args["name"])
        for row in chosen:
            values = {"locked": locked, "invalid": 0}
            connection.execute(update(nodes).where(nodes.c.name == row.name).values(values))
    return Reply([core.log("ANR2097I" if locked else "ANR2098I", name=row.name) for row in chosen])


def lock_node(core: Core, args: Args) -> Reply:
    """LOCK NODE name: no session any more."""
    return _lock(core, args, 1)


def unlock_node(core: Core, args: Args) -> Reply:
    """UNLOCK NODE name: also after too many wrong passwords."""
    return _lock(core, args, 0)


def remove_node(core: Core, args: Args) -> Reply:
    """REMOVE NODE name: refused while filespaces or archive objects are kept for it."""
    with core.database.write() as connection:
        chosen = _chosen(connection, matching(args), args["name"])
        for row in chosen:
            kept = connection.execute(select(func.count()).where(filespaces.c.node == row.name)).scalar_one()
            kept += connection.execute(select(func.count()).where(archives.c.node == row.name)).scalar_one()
            if kept:
                reason = f"ANR2153E REMOVE NODE: {kept} filespaces or archive objects are kept for {row.name}."
                raise refuse("referenced", reason, "DELETE FILESPACE first")
        for row in chosen:
            for table in (associations, contacts, events):
                connection.execute(delete(table).where(table.c.node == row.name))
            connection.execute(delete(access_rules).where(access_rules.c.owner == row.name))
            mine = (authorities.c.privilege == Privilege.NODE.value, authorities.c.name == row.name)
            connection.execute(delete(authorities).where(*mine))
            connection.execute(delete(nodes).where(nodes.c.name == row.name))
    core.schedules_changed.set()
    return Reply([core.log("ANR2061I", name=row.name, domain=row.domain) for row in chosen])


def rename_node(core: Core, args: Args) -> Reply:
    """RENAME NODE name newname: everything kept for the node goes with it."""
    old, new = identifier(args, "name"), identifier(args, "newname")
    with core.database.write() as connection:
        _chosen(connection, matching({"name": old}), old)
        if connection.execute(select(nodes).where(nodes.c.name == new)).first() is not None:
            raise refuse("exists", messages.text("ANR2147E", what="RENAME NODE", name=new))
        connection.execute(update(nodes).where(nodes.c.name == old).values(name=new))
        for table in metadata.tables.values():
            if "node" in table.c:
                connection.execute(update(table).where(table.c.node == old).values(node=new))
        connection.execute(update(access_rules).where(access_rules.c.owner == old).values(owner=new))
        mine = (authorities.c.privilege == Privilege.NODE.value, authorities.c.name == old)
        connection.execute(update(authorities).where(*mine).values(name=new))
    core.schedules_changed.set()
    return Reply([core.log("ANR2062I", name=old, newname=new)])


def delete_filespace(core: Core, args: Args, process: Process) -> Reply:
    """DELETE FILESPACE node name TYPE=ANY|BACKUP|ARCHIVE: what is in it; the content goes with the next expiration.

    What a retention lock holds stays, and its filespace with it."""
    node, matches = identifier(args, "node"), _by_exact_name(args["filespace"])
    kind = choice(args, "type", "ANY", "ANY", "BACKUP", "ARCHIVE")
    tables = {"BACKUP": (versions,), "ARCHIVE": (archive_objects,)}.get(kind, (versions, archive_objects))
    with exclusive(core, "DELETE FILESPACE"):
        with core.database.read() as connection:
            found = connection.execute(select(filespaces).where(filespaces.c.node == node)).all()
        doomed = [row for row in found if matches(row.name)]
        if not doomed:
            raise refuse("not-found", f"ANR2102E DELETE FILESPACE: {args['filespace']} of {node} is not known.")
        texts, held = [], 0
        for row in doomed:
            process.begin(0, f"deleting {row.name} of {node}", "objects")
            figures = [_delete_contents(core, row.id, table, process) for table in tables]
            count, left = (sum(pair[n] for pair in figures) for n in (0, 1))
            _forget_filespace(core, row.id)
            held += left
            texts.append(core.log("ANR0806I", process=process.number, name=row.name, node=node, count=count, left=left))
    return Reply(texts, figures={"filespaces": [row.name for row in doomed], "held": held}, code=ERROR if held else 0)


def _by_exact_name(pattern: str) -> Any:
    """Filespaces are paths: upper and lower case differ."""
    return lambda name: fnmatch.fnmatchcase(name, pattern)


def _delete_contents(core: Core, filespace: int, table: Table, process: Process) -> tuple[int, int]:
    """Return how many objects of ``table`` went, and how many a lock holds."""
    remove = delete_versions if table is versions else delete_archives
    gone = held = last = 0
    while True:
        process.check()
        with core.database.write() as connection:
            mine = (table.c.filespace == filespace, table.c.id > last)
            part = select(table.c.id).where(*mine).order_by(table.c.id).limit(_BATCH)
            ids = list(connection.execute(part).scalars())
            if not ids:
                return gone, held
            count = remove(connection, ids, core.now_ns())
            changed(connection, filespace)
        gone, held, last = gone + count, held + len(ids) - count, ids[-1]
        process.advance(count)


def _forget_filespace(core: Core, filespace: int) -> None:
    """Remove the filespace itself, unless something is left in it."""
    with core.database.write() as connection:
        for table in (versions, archive_objects):
            left = select(table.c.id).where(table.c.filespace == filespace).limit(1)
            if connection.execute(left).first() is not None:
                return
        connection.execute(delete(filespaces).where(filespaces.c.id == filespace))


def query_node(core: Core, args: Args) -> Reply:
    """QUERY NODE [name] [DOMAIN=] [TYPE=] [FORMAT=]."""
    matches, of_domain = matching(args), matching(args, "domain")
    kind = choice(args, "type", "ANY", "ANY", "CLIENT", "SERVER")
    with core.database.read() as connection:
        found = connection.execute(select(nodes).order_by(nodes.c.name)).all()
    chosen = [n for n in found if matches(n.name) and of_domain(n.domain) and kind in ("ANY", n.type)]
    if choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED":
        return answer("QUERY NODE", _DETAILS, [_detailed(core, row) for row in chosen], detailed=True)
    columns = (
        "Node Name", "Platform", "Policy Domain Name", "Days Since Last Access", "Days Since Password Set", "Locked?",
        "Type",
    )  # fmt: skip
    rows = [
        (n.name, n.platform or "(?)", n.domain, days_since(core, n.access_ns), days_since(core, n.password_ns),
         _yes(n.locked), n.type)
        for n in chosen
    ]  # fmt: skip
    return answer("QUERY NODE", columns, rows)


def _yes(value: int) -> str:
    return "Yes" if value else "No"


_DETAILS = (
    "Node Name", "Platform", "Policy Domain Name", "Last Access Date/Time", "Days Since Last Access",
    "Password Set Date/Time", "Days Since Password Set", "Invalid Sign-on Count", "Locked?", "Contact", "Compression",
    "Archive Delete Allowed?", "Backup Delete Allowed?", "Registration Date/Time", "Password Expiration Period",
    "Maximum Mount Points Allowed", "Option Set", "Certificates", "Node Type",
)  # fmt: skip


def _detailed(core: Core, row: Any) -> tuple[str, ...]:
    expires = "" if row.passexp_days is None else f"{row.passexp_days} Day(s)"
    return (
        row.name, row.platform or "(?)", row.domain, stamp(row.access_ns), days_since(core, row.access_ns),
        stamp(row.password_ns), days_since(core, row.password_ns), str(row.invalid), _yes(row.locked), row.contact,
        (row.compression or "CLIENT").capitalize(), _yes(row.archdelete), _yes(row.backdelete),
        stamp(row.registered_ns), expires, str(row.maxnummp), row.cloptset, row.certificates, row.type.capitalize(),
    )  # fmt: skip


COMMANDS = {
    "register node": register_node,
    "update node": update_node,
    "remove node": remove_node,
    "rename node": rename_node,
    "lock node": lock_node,
    "unlock node": unlock_node,
    "query node": query_node,
}
