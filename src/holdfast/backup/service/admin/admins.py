"""Administrators and what they may do. One who is registered may ask (QUERY, SELECT) and nothing else until granted.

There is always an administrator with class SYSTEM who is not locked: the last one cannot be removed, locked or
deprived, so that nobody shuts the server's only door from inside.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from holdfast.backup.model import messages
from holdfast.backup.model.privileges import Privilege
from holdfast.backup.service.admin.passwords import new_password
from holdfast.backup.service.admin.query import days_since, stamp
from holdfast.backup.service.admin.reply import Args, Reply, answer, choice, identifier, matching, number, refuse
from holdfast.backup.service.catalog.administration import authorities
from holdfast.backup.service.catalog.schema import admins, domains, nodes, pools
from holdfast.backup.service.core import Core
from holdfast.backup.service.serverfile import ADMIN, ADMIN_PASSWORD_FILE
from holdfast.backup.service.signon import credentials
from holdfast.runtime.secretfile import write_secret

_SYSTEM = Privilege.SYSTEM.value


def register_admin(core: Core, args: Args) -> Reply:
    """REGISTER ADMIN name password [CONTACT=] [PASSEXP=]: without any privilege yet."""
    name = identifier(args, "name")
    with core.database.write() as connection:
        if connection.execute(select(admins).where(admins.c.name == name)).first() is not None:
            raise refuse("exists", messages.text("ANR2101E", what="REGISTER ADMIN", kind="Administrator", name=name))
        now_ns = core.now_ns()
        values = {"name": name, "registered_ns": now_ns, "password_ns": now_ns, **_attributes(args)}
        connection.execute(insert(admins), {**values, **credentials(new_password(connection, args))})
    return Reply([core.log("ANR2068I", name=name)])


def _attributes(args: Args) -> dict[str, Any]:
    values: dict[str, Any] = {"contact": args["contact"]} if "contact" in args else {}
    if "passexp" in args:
        values["passexp_days"] = number(args, "passexp", 90, 0, 9_999)
    return values


def _chosen(connection: Connection, args: Args) -> list[str]:
    matches = matching(args)
    chosen = [name for name in connection.execute(select(admins.c.name)).scalars() if matches(name)]
    if not chosen:
        kind = {"kind": "Administrator", "name": args["name"].upper()}
        raise refuse("not-found", messages.text("ANR2102E", what="ADMIN", **kind))
    return chosen


def _keep_one(connection: Connection) -> None:
    """Refuse what would leave no administrator of class SYSTEM who is not locked; called after the change."""
    able = (authorities.c.privilege == _SYSTEM, admins.c.locked == 0)
    joined = select(admins.c.name).join(authorities, authorities.c.admin == admins.c.name)
    if connection.execute(joined.where(*able)).first() is None:
        raise refuse("in-use", "ANR2103E no administrator with privilege SYSTEM would be left", "grant it to another")


def update_admin(core: Core, args: Args) -> Reply:
    """UPDATE ADMIN name [password] [CONTACT=] [PASSEXP=]: one's own password may be changed without privilege."""
    with core.database.write() as connection:
        chosen = _chosen(connection, args)
        values = _attributes(args)
        if "password" in args:
            values.update(credentials(new_password(connection, args)), password_ns=core.now_ns(), invalid=0)
        if not values:
            raise refuse("invalid", "ANR2022E One or more parameters are missing", "name what is to change")
        for name in chosen:
            connection.execute(update(admins).where(admins.c.name == name).values(values))
    if "password" in args and ADMIN in chosen:
        write_secret(core.directory / ADMIN_PASSWORD_FILE, args["password"].encode())
    return Reply([core.log("ANR2071I", name=name) for name in chosen])


def remove_admin(core: Core, args: Args) -> Reply:
    """REMOVE ADMIN name."""
    with core.database.write() as connection:
        chosen = _chosen(connection, args)
        for name in chosen:
            connection.execute(delete(admins).where(admins.c.name == name))
            connection.execute(delete(authorities).where(authorities.c.admin == name))
        _keep_one(connection)
    return Reply([core.log("ANR2069I", name=name) for name in chosen])


def rename_admin(core: Core, args: Args) -> Reply:
    """RENAME ADMIN name newname."""
    old, new = identifier(args, "name"), identifier(args, "newname")
    if old == ADMIN:
        raise refuse("in-use", f"ANR2103E {ADMIN} is the administrator of the server's own commands", "lock it instead")
    with core.database.write() as connection:
        _chosen(connection, {"name": old})
        if connection.execute(select(admins).where(admins.c.name == new)).first() is not None:
            raise refuse("exists", messages.text("ANR2101E", what="RENAME ADMIN", kind="Administrator", name=new))
        connection.execute(update(admins).where(admins.c.name == old).values(name=new))
        connection.execute(update(authorities).where(authorities.c.admin == old).values(admin=new))
    return Reply([core.log("ANR2070I", name=old, newname=new)])


def _lock(core: Core, args: Args, locked: int) -> Reply:
    with core.database.write() as connection:
        chosen = _chosen(connection, args)
        for name in chosen:
            values = {"locked": locked, "invalid": 0}
            connection.execute(update(admins).where(admins.c.name == name).values(values))
        _keep_one(connection)
    return Reply([core.log("ANR2095I" if locked else "ANR2096I", name=name) for name in chosen])


def lock_admin(core: Core, args: Args) -> Reply:
    """LOCK ADMIN name."""
    return _lock(core, args, 1)


def unlock_admin(core: Core, args: Args) -> Reply:
    """UNLOCK ADMIN name."""
    return _lock(core, args, 0)


def _named(connection: Connection, args: Args) -> list[dict[str, str]]:
    """Return the authorities that CLASSES=, DOMAINS=, STGPOOLS=, NODE= and AUTHORITY= name, each checked."""
    chosen: list[dict[str, str]] = []
    words = [word for word in args.get("classes", "").split(",") if word]
    classes = [choice({"classes": word}, "classes", "", *(p.value for p in Privilege)) for word in words]
    for key, privilege, table in (
        ("domains", "POLICY", domains),
        ("stgpools", "STORAGE", pools),
        ("node", "NODE", nodes),
    ):
        names = [word.upper() for word in args.get(key, "").split(",") if word]
        for name in names:
            if connection.execute(select(table.c.name).where(table.c.name == name)).first() is None:
                raise refuse("not-found", f"ANR2102E {key.upper()}={name} is not defined.")
            level = choice(args, "authority", "ACCESS", "ACCESS", "OWNER") if key == "node" else ""
            chosen.append({"privilege": privilege, "name": name, "level": level})
        if names and privilege in classes:
            classes.remove(privilege)
    if Privilege.NODE.value in classes:
        raise refuse("invalid", "ANR2022E One or more parameters are missing - NODE", "CLASSES=NODE needs NODE=")
    chosen += [{"privilege": name, "name": "", "level": ""} for name in classes]
    if not chosen:
        raise refuse("invalid", "ANR2022E One or more parameters are missing - CLASSES", "or DOMAINS, STGPOOLS")
    return chosen


def grant_authority(core: Core, args: Args) -> Reply:
    """GRANT AUTHORITY name CLASSES=SYSTEM|POLICY|STORAGE|OPERATOR|NODE [DOMAINS=] [STGPOOLS=] [NODE= AUTHORITY=]."""
    with core.database.write() as connection:
        chosen, granted = _chosen(connection, args), _named(connection, args)
        for name in chosen:
            for values in granted:
                where = [authorities.c[key] == values[key] for key in ("privilege", "name")]
                connection.execute(delete(authorities).where(authorities.c.admin == name, *where))
                connection.execute(insert(authorities), {"admin": name, **values})
    return Reply([_told(core, "granted to", name, values) for name in chosen for values in granted])


def revoke_authority(core: Core, args: Args) -> Reply:
    """REVOKE AUTHORITY name [CLASSES=] [DOMAINS=] ...: everything when nothing is named."""
    some = any(args.get(key) for key in ("classes", "domains", "stgpools", "node"))
    with core.database.write() as connection:
        chosen, texts = _chosen(connection, args), []
        for name in chosen:
            mine = authorities.c.admin == name
            rows = [dict(row._mapping) for row in connection.execute(select(authorities).where(mine)).all()]
            named = _named(connection, args) if some else rows
            lost = [row for row in rows if any(_covers(values, row) for values in named)]
            if not lost:
                raise refuse(
                    "not-found", f"ANR2103E {name} does not have that authority", "QUERY ADMIN FORMAT=DETAILED"
                )
            for row in lost:
                where = [authorities.c[key] == row[key] for key in ("privilege", "name")]
                connection.execute(delete(authorities).where(mine, *where))
                texts.append((name, row))
        _keep_one(connection)
    return Reply([_told(core, "revoked from", name, row) for name, row in texts])


def _covers(values: dict[str, str], row: dict[str, Any]) -> bool:
    """A class without a name covers all that is restricted within it."""
    return values["privilege"] == row["privilege"] and values["name"] in ("", row["name"])


def _told(core: Core, done: str, name: str, values: dict[str, str]) -> str:
    what = values["privilege"] + (f" for {values['name']}" if values["name"] else "")
    return core.log("ANR2076I", what=what, done=done, name=name)


def query_admin(core: Core, args: Args) -> Reply:
    """QUERY ADMIN [name] [CLASSES=] [FORMAT=]."""
    matches = matching(args)
    with core.database.read() as connection:
        found = connection.execute(select(admins).order_by(admins.c.name)).all()
        rows = connection.execute(select(authorities).order_by(authorities.c.name)).all()
    held: dict[str, list[Any]] = {}
    for row in rows:
        held.setdefault(row.admin, []).append(row)
    wanted = {choice({"c": w}, "c", "", *(p.value for p in Privilege)) for w in args.get("classes", "").split(",") if w}
    chosen = [
        row
        for row in found
        if matches(row.name) and (not wanted or wanted & {has.privilege for has in held.get(row.name, [])})
    ]
    if choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED":
        details = [_detailed(core, row, held.get(row.name, [])) for row in chosen]
        return answer("QUERY ADMIN", _DETAILS, details, detailed=True)
    columns = (
        "Administrator Name", "Days Since Last Access", "Days Since Password Set", "Locked?", "Privilege Classes",
    )  # fmt: skip
    shown = [
        (a.name, days_since(core, a.access_ns), days_since(core, a.password_ns), "Yes" if a.locked else "No",
         _classes(held.get(a.name, [])))
        for a in chosen
    ]  # fmt: skip
    return answer("QUERY ADMIN", columns, shown)


def _classes(rows: list[Any]) -> str:
    present = {row.privilege for row in rows}
    return " ".join(p.value.capitalize() for p in Privilege if p.value in present)


_DETAILS = (
    "Administrator Name", "Last Access Date/Time", "Days Since Last Access", "Password Set Date/Time",
    "Days Since Password Set", "Invalid Sign-on Count", "Locked?", "Contact", "System Privilege", "Policy Privilege",
    "Storage Privilege", "Operator Privilege", "Client Owner Privilege", "Client Access Privilege",
    "Registration Date/Time", "Password Expiration Period",
)  # fmt: skip


def _detailed(core: Core, row: Any, rows: list[Any]) -> tuple[str, ...]:
    def shown(privilege: str, level: str = "") -> str:
        names = [has.name or "** Unrestricted **" for has in rows if (has.privilege, has.level) == (privilege, level)]
        if privilege in ("SYSTEM", "OPERATOR"):
            return "Yes" if names else ""
        return " ".join(names)

    expires = "" if row.passexp_days is None else f"{row.passexp_days} Day(s)"
    return (
        row.name, stamp(row.access_ns), days_since(core, row.access_ns), stamp(row.password_ns),
        days_since(core, row.password_ns), str(row.invalid), "Yes" if row.locked else "No", row.contact,
        shown("SYSTEM"), shown("POLICY"), shown("STORAGE"), shown("OPERATOR"), shown("NODE", "OWNER"),
        shown("NODE", "ACCESS"), stamp(row.registered_ns), expires,
    )  # fmt: skip


COMMANDS = {
    "register admin": register_admin,
    "update admin": update_admin,
    "remove admin": remove_admin,
    "rename admin": rename_admin,
    "lock admin": lock_admin,
    "unlock admin": unlock_admin,
    "grant authority": grant_authority,
    "revoke authority": revoke_authority,
    "query admin": query_admin,
}
