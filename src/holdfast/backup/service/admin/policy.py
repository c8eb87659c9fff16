"""Policy: domains, sets, classes and copy groups defined, updated, copied, deleted, validated, activated (section 2).

The ACTIVE set is a copy that ACTIVATE makes; nothing else changes it. Each kind of copy group takes its own parameters
and refuses the other's, so that a misspelt TYPE= does not silently drop a retention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from holdfast.backup.model import messages
from holdfast.backup.model.policy import ACTIVE, NOLIMIT, ArchiveCopyGroup, BackupCopyGroup
from holdfast.backup.model.pools import NAME_LIMIT, PoolType
from holdfast.backup.service.admin.query import stamp
from holdfast.backup.service.admin.reply import Args, Reply, answer, choice, identifier, matching, number, refuse
from holdfast.backup.service.catalog.administration import associations, schedules
from holdfast.backup.service.catalog.policy import archive_group, backup_group, group_values
from holdfast.backup.service.catalog.schema import copygroups, domains, mgmtclasses, nodes, policysets, pools
from holdfast.backup.service.core import Core

_SERIALIZATIONS = ("SHRSTATIC", "STATIC", "SHRDYNAMIC", "DYNAMIC")
_ONLY = {
    "BACKUP": ("verexists", "verdeleted", "retextra", "retonly"),
    "ARCHIVE": ("retver", "retinit", "retmin"),
}


def _where(table: Table, key: Mapping[str, str]) -> list[Any]:
    return [table.c[name] == value for name, value in key.items()]


def _new(connection: Connection, table: Table, kind: str, **key: str) -> None:
    if connection.execute(select(table).where(*_where(table, key))).first() is not None:
        name = list(key.values())[-1]
        raise refuse("exists", messages.text("ANR2101E", what="DEFINE", kind=kind, name=name))


def _existing(connection: Connection, table: Table, kind: str, **key: str) -> Any:
    row = connection.execute(select(table).where(*_where(table, key))).first()
    if row is None:
        name = list(key.values())[-1]
        raise refuse("not-found", messages.text("ANR2102E", what="POLICY", kind=kind, name=name))
    return row


def _changeable(connection: Connection, domain: str, policyset: str) -> None:
    if policyset == ACTIVE:
        raise refuse("invalid", "ANR2103E the ACTIVE policy set cannot be changed", "change its source, then activate")
    _existing(connection, policysets, "Policy set", domain=domain, name=policyset)


def _fresh_name(args: Args, key: str = "name") -> str:
    name = identifier(args, key, NAME_LIMIT)
    if name == ACTIVE:
        raise refuse("invalid", "ANR2103E the name ACTIVE is the server's own", "choose another")
    return name


def _copied(connection: Connection, table: Table, old: Mapping[str, str], new: Mapping[str, Any]) -> None:
    """Copy the rows that ``old`` selects, with ``new`` in their key."""
    rows = connection.execute(select(table).where(*_where(table, old))).all()
    if rows:
        connection.execute(insert(table), [{**row._mapping, **new} for row in rows])


# --- domains


def _domain_values(args: Args) -> dict[str, Any]:
    values: dict[str, Any] = {"description": args["description"]} if "description" in args else {}
    for key, column in (("backretention", "backretention_days"), ("archretention", "archretention_days")):
        if key in args:
            values[column] = number(args, key, 0, 0, 30_000, NOLIMIT)
    return values


def define_domain(core: Core, args: Args) -> Reply:
    """DEFINE DOMAIN name DESCRIPTION= BACKRETENTION=30 ARCHRETENTION=365."""
    name = identifier(args, "name", NAME_LIMIT)
    with core.database.write() as connection:
        _new(connection, domains, "Policy domain", name=name)
        connection.execute(insert(domains), {"name": name, **_domain_values(args)})
    return Reply([core.log("ANR1500I", name=name)])


def update_domain(core: Core, args: Args) -> Reply:
    """UPDATE DOMAIN: what is not named keeps its value."""
    name, values = identifier(args, "domain"), _domain_values(args)
    if not values:
        raise refuse("invalid", "ANR2022E One or more parameters are missing", "name what is to change")
    with core.database.write() as connection:
        _existing(connection, domains, "Policy domain", name=name)
        connection.execute(update(domains).where(domains.c.name == name).values(values))
    return Reply([core.log("ANR1503I", name=name)])


def copy_domain(core: Core, args: Args) -> Reply:
    """COPY DOMAIN name newname: with sets, classes and copy groups, but no ACTIVE set and no nodes."""
    old, new = identifier(args, "name"), identifier(args, "newname", NAME_LIMIT)
    with core.database.write() as connection:
        row = _existing(connection, domains, "Policy domain", name=old)
        _new(connection, domains, "Policy domain", name=new)
        connection.execute(insert(domains), {**row._mapping, "name": new})
        for table in (policysets, mgmtclasses, copygroups):
            _copied(connection, table, {"domain": old}, {"domain": new})
            column = table.c.name if table is policysets else table.c.policyset
            connection.execute(delete(table).where(table.c.domain == new, column == ACTIVE))
    return Reply([core.log("ANR1504I", kind="Policy domain", name=old, newname=new)])


def delete_domain(core: Core, args: Args) -> Reply:
    """DELETE DOMAIN name: refused while nodes are registered in it."""
    name = identifier(args, "name")
    with core.database.write() as connection:
        _existing(connection, domains, "Policy domain", name=name)
        count = connection.execute(select(func.count()).where(nodes.c.domain == name)).scalar_one()
        if count:
            raise refuse("referenced", f"ANR2103E {count} nodes are registered in {name}", "move or remove them first")
        connection.execute(delete(domains).where(domains.c.name == name))
        for table in (policysets, mgmtclasses, copygroups, schedules, associations):
            connection.execute(delete(table).where(table.c.domain == name))
    core.schedules_changed.set()
    return Reply([core.log("ANR1502I", kind="Policy domain", name=name)])


# --- policy sets


def define_policyset(core: Core, args: Args) -> Reply:
    """DEFINE POLICYSET domain name DESCRIPTION=."""
    domain, name = identifier(args, "domain"), _fresh_name(args)
    with core.database.write() as connection:
        _existing(connection, domains, "Policy domain", name=domain)
        _new(connection, policysets, "Policy set", domain=domain, name=name)
        values = {"domain": domain, "name": name, "description": args.get("description", "")}
        connection.execute(insert(policysets), values)
    return Reply([core.log("ANR1510I", name=name, domain=domain)])


def update_policyset(core: Core, args: Args) -> Reply:
    """UPDATE POLICYSET domain name DESCRIPTION=."""
    domain, name = identifier(args, "domain"), identifier(args, "name")
    with core.database.write() as connection:
        _changeable(connection, domain, name)
        where = _where(policysets, {"domain": domain, "name": name})
        connection.execute(update(policysets).where(*where).values(description=args.get("description", "")))
    return Reply([core.log("ANR1503I", name=name)])


def copy_policyset(core: Core, args: Args) -> Reply:
    """COPY POLICYSET domain name newname: with classes and copy groups. ACTIVE may be the source."""
    domain, old, new = identifier(args, "domain"), identifier(args, "name"), _fresh_name(args, "newname")
    with core.database.write() as connection:
        _existing(connection, policysets, "Policy set", domain=domain, name=old)
        _new(connection, policysets, "Policy set", domain=domain, name=new)
        fresh = {"name": new, "activated_from": "", "activated_ns": 0}
        _copied(connection, policysets, {"domain": domain, "name": old}, fresh)
        for table in (mgmtclasses, copygroups):
            _copied(connection, table, {"domain": domain, "policyset": old}, {"policyset": new})
    return Reply([core.log("ANR1504I", kind="Policy set", name=old, newname=new)])


def delete_policyset(core: Core, args: Args) -> Reply:
    """DELETE POLICYSET domain name: never the ACTIVE one, which stays what it is."""
    domain, name = identifier(args, "domain"), identifier(args, "name")
    with core.database.write() as connection:
        _changeable(connection, domain, name)
        connection.execute(delete(policysets).where(*_where(policysets, {"domain": domain, "name": name})))
        for table in (mgmtclasses, copygroups):
            connection.execute(delete(table).where(*_where(table, {"domain": domain, "policyset": name})))
    return Reply([core.log("ANR1502I", kind="Policy set", name=name)])


# --- management classes


def define_mgmtclass(core: Core, args: Args) -> Reply:
    """DEFINE MGMTCLASS domain set name DESCRIPTION=."""
    domain, policyset = identifier(args, "domain"), identifier(args, "policyset")
    name = identifier(args, "name", NAME_LIMIT)
    with core.database.write() as connection:
        _changeable(connection, domain, policyset)
        _new(connection, mgmtclasses, "Management class", domain=domain, policyset=policyset, name=name)
        values = {"domain": domain, "policyset": policyset, "name": name, "description": args.get("description", "")}
        connection.execute(insert(mgmtclasses), values)
    return Reply([core.log("ANR1520I", name=name, domain=domain, policyset=policyset)])


def update_mgmtclass(core: Core, args: Args) -> Reply:
    """UPDATE MGMTCLASS domain set name DESCRIPTION=."""
    key = {name: identifier(args, name) for name in ("domain", "policyset", "name")}
    with core.database.write() as connection:
        _changeable(connection, key["domain"], key["policyset"])
        _existing(connection, mgmtclasses, "Management class", **key)
        values = {"description": args.get("description", "")}
        connection.execute(update(mgmtclasses).where(*_where(mgmtclasses, key)).values(values))
    return Reply([core.log("ANR1503I", name=key["name"])])


def copy_mgmtclass(core: Core, args: Args) -> Reply:
    """COPY MGMTCLASS domain set name newname: with its copy groups."""
    key = {name: identifier(args, name) for name in ("domain", "policyset", "name")}
    new = identifier(args, "newname", NAME_LIMIT)
    place = {"domain": key["domain"], "policyset": key["policyset"]}
    with core.database.write() as connection:
        _changeable(connection, *place.values())
        _existing(connection, mgmtclasses, "Management class", **key)
        _new(connection, mgmtclasses, "Management class", **place, name=new)
        _copied(connection, mgmtclasses, key, {"name": new})
        _copied(connection, copygroups, {**place, "mgmtclass": key["name"]}, {"mgmtclass": new})
    return Reply([core.log("ANR1504I", kind="Management class", name=key["name"], newname=new)])


def delete_mgmtclass(core: Core, args: Args) -> Reply:
    """DELETE MGMTCLASS domain set name: with its copy groups; a set whose default it was has none then."""
    key = {name: identifier(args, name) for name in ("domain", "policyset", "name")}
    place = {"domain": key["domain"], "policyset": key["policyset"]}
    with core.database.write() as connection:
        _changeable(connection, *place.values())
        _existing(connection, mgmtclasses, "Management class", **key)
        connection.execute(delete(mgmtclasses).where(*_where(mgmtclasses, key)))
        connection.execute(delete(copygroups).where(*_where(copygroups, {**place, "mgmtclass": key["name"]})))
        mine = _where(policysets, {"domain": place["domain"], "name": place["policyset"], "default_class": key["name"]})
        connection.execute(update(policysets).where(*mine).values(default_class=""))
    return Reply([core.log("ANR1502I", kind="Management class", name=key["name"])])


# --- copy groups


def define_copygroup(core: Core, args: Args) -> Reply:
    """DEFINE COPYGROUP domain set class [STANDARD] TYPE=BACKUP|ARCHIVE DESTINATION= ..."""
    return _copygroup_command(core, args, change=False)


def update_copygroup(core: Core, args: Args) -> Reply:
    """UPDATE COPYGROUP: what is not named keeps its value."""
    return _copygroup_command(core, args, change=True)


def _group_key(args: Args) -> dict[str, str]:
    standard = args.get("standard", "STANDARD").upper()
    if standard != "STANDARD":
        raise refuse("invalid", f"ANR2020E Invalid parameter - {standard}", "a copy group's name is STANDARD")
    key = {name: identifier(args, name) for name in ("domain", "policyset", "mgmtclass")}
    return {**key, "type": choice(args, "type", "BACKUP", "BACKUP", "ARCHIVE")}


def _copygroup_command(core: Core, args: Args, change: bool) -> Reply:
    key = _group_key(args)
    domain, policyset, name, kind = key.values()
    for foreign in _ONLY["ARCHIVE" if kind == "BACKUP" else "BACKUP"]:
        if foreign in args:
            reason = f"ANR2020E Invalid parameter - {foreign.upper()}"
            raise refuse("invalid", reason, f"an {kind.lower()} copy group does not have it; see TYPE=")
    with core.database.write() as connection:
        _changeable(connection, domain, policyset)
        _existing(connection, mgmtclasses, "Management class", domain=domain, policyset=policyset, name=name)
        old = None
        if change:
            old = _existing(connection, copygroups, "Copy group", **key)
            connection.execute(delete(copygroups).where(*_where(copygroups, key)))
        else:
            _new(connection, copygroups, "Copy group", **key)
        destination = args.get("destination", old.destination if old else "").upper()
        _primary(connection, destination)
        make = _archive if kind == "ARCHIVE" else _backup
        connection.execute(insert(copygroups), {**key, **group_values(make(args, destination, old))})
    id = "ANR1530I" if kind == "BACKUP" else "ANR1535I"
    return Reply([core.log(id, name=name, domain=domain, policyset=policyset)])


def _archive(args: Args, destination: str, old: Any) -> ArchiveCopyGroup:
    base = archive_group(old) if old else ArchiveCopyGroup(destination)
    choice(args, "mode", "ABSOLUTE", "ABSOLUTE")
    choice(args, "frequency", "CMD", "CMD")
    return ArchiveCopyGroup(
        destination,
        number(args, "retver", base.retver_days, 0, 30_000, NOLIMIT),
        choice(args, "retinit", base.retinit, "CREATION", "EVENT"),
        number(args, "retmin", base.retmin_days, 0, 30_000),
        choice(args, "serialization", base.serialization, *_SERIALIZATIONS),
    )


def _backup(args: Args, destination: str, old: Any) -> BackupCopyGroup:
    base = backup_group(old) if old else BackupCopyGroup(destination)
    return BackupCopyGroup(
        destination,
        number(args, "verexists", base.verexists, 1, 9_999, NOLIMIT),
        number(args, "verdeleted", base.verdeleted, 0, 9_999, NOLIMIT),
        number(args, "retextra", base.retextra_days, 0, 30_000, NOLIMIT),
        number(args, "retonly", base.retonly_days, 0, 30_000, NOLIMIT),
        number(args, "frequency", base.frequency_days, 0, 9_999),
        choice(args, "mode", base.mode, "MODIFIED", "ABSOLUTE"),
        choice(args, "serialization", base.serialization, *_SERIALIZATIONS),
    )


def _primary(connection: Connection, name: str) -> None:
    if not name:
        raise refuse("invalid", "ANR2022E One or more parameters are missing - DESTINATION")
    row = _existing(connection, pools, "Storage pool", name=name)
    if row.type != PoolType.PRIMARY.value:
        raise refuse("invalid", f"ANR2103E {name} is not a primary storage pool", "name a primary pool")


def delete_copygroup(core: Core, args: Args) -> Reply:
    """DELETE COPYGROUP domain set class [STANDARD] TYPE=BACKUP|ARCHIVE."""
    key = _group_key(args)
    with core.database.write() as connection:
        _changeable(connection, key["domain"], key["policyset"])
        _existing(connection, copygroups, "Copy group", **key)
        connection.execute(delete(copygroups).where(*_where(copygroups, key)))
    return Reply([core.log("ANR1502I", kind=f"{key['type'].capitalize()} copy group", name=key["mgmtclass"])])


# --- from a set to the ACTIVE one


def assign_defmgmtclass(core: Core, args: Args) -> Reply:
    """ASSIGN DEFMGMTCLASS domain set class."""
    domain, policyset, name = identifier(args, "domain"), identifier(args, "policyset"), identifier(args, "name")
    with core.database.write() as connection:
        _changeable(connection, domain, policyset)
        _existing(connection, mgmtclasses, "Management class", domain=domain, policyset=policyset, name=name)
        where = (policysets.c.domain == domain, policysets.c.name == policyset)
        connection.execute(update(policysets).where(*where).values(default_class=name))
    return Reply([core.log("ANR1538I", name=name, domain=domain, policyset=policyset)])


def validate_policyset(core: Core, args: Args) -> Reply:
    """VALIDATE POLICYSET domain set."""
    domain, name = identifier(args, "domain"), identifier(args, "name")
    with core.database.read() as connection:
        warnings = _validate(connection, domain, name)
    return Reply([*warnings, core.log("ANR1515I", name=name, domain=domain)])


def _validate(connection: Connection, domain: str, name: str) -> list[str]:
    """Return warnings; refuses a set without a default class, or with a destination that is no primary pool."""
    row = _existing(connection, policysets, "Policy set", domain=domain, name=name)
    if not row.default_class:
        raise refuse("invalid", f"ANR2103E policy set {name} has no default class", "ASSIGN DEFMGMTCLASS")
    groups = connection.execute(select(copygroups).where(*_where(copygroups, {"domain": domain, "policyset": name})))
    kinds = {row.default_class: set[str]()}
    for group in groups.all():
        kinds.setdefault(group.mgmtclass, set()).add(group.type)
        _primary(connection, group.destination)
    place = {"name": row.default_class, "domain": domain, "policyset": name}
    missing = {"ARCHIVE": "ANR1554W", "BACKUP": "ANR1553W"}
    texts = [messages.text(id, **place) for kind, id in missing.items() if kind not in kinds[row.default_class]]
    key = {"domain": domain, "policyset": name}
    names = set(connection.execute(select(mgmtclasses.c.name).where(*_where(mgmtclasses, key))).scalars())
    active = {"domain": domain, "policyset": ACTIVE}
    for lost in connection.execute(select(mgmtclasses.c.name).where(*_where(mgmtclasses, active))).scalars():
        if lost not in names:
            texts.append(messages.text("ANR1551W", name=lost, domain=domain, policyset=name))
    return texts


def activate_policyset(core: Core, args: Args) -> Reply:
    """ACTIVATE POLICYSET domain set: ACTIVE becomes a copy of it."""
    domain, name = identifier(args, "domain"), identifier(args, "name")
    if name == ACTIVE:
        raise refuse("invalid", "ANR2103E the ACTIVE policy set is active", "name the set to activate")
    with core.database.write() as connection:
        warnings = _validate(connection, domain, name)
        for table in (copygroups, mgmtclasses):
            connection.execute(delete(table).where(table.c.domain == domain, table.c.policyset == ACTIVE))
            _copied(connection, table, {"domain": domain, "policyset": name}, {"policyset": ACTIVE})
        connection.execute(delete(policysets).where(policysets.c.domain == domain, policysets.c.name == ACTIVE))
        fresh = {"name": ACTIVE, "activated_from": name, "activated_ns": core.now_ns()}
        _copied(connection, policysets, {"domain": domain, "name": name}, fresh)
    return Reply([*warnings, core.log("ANR1514I", name=name, domain=domain)])


# --- queries


def query_policyset(core: Core, args: Args) -> Reply:
    """QUERY POLICYSET [domain] [set]."""
    of_domain, of_set = matching(args, "domain"), matching(args, "policyset")
    order = (policysets.c.domain, policysets.c.name)
    with core.database.read() as connection:
        found = connection.execute(select(policysets).order_by(*order)).all()
    chosen = [row for row in found if of_domain(row.domain) and of_set(row.name)]
    columns: tuple[str, ...] = ("Policy Domain Name", "Policy Set Name", "Default Mgmt Class Name", "Description")
    rows: list[tuple[str, ...]] = [(p.domain, p.name, p.default_class, p.description) for p in chosen]
    detailed = choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED"
    if detailed:
        columns = (*columns, "Activated From", "Activated Date/Time")
        rows = [(*row, p.activated_from, stamp(p.activated_ns)) for row, p in zip(rows, chosen, strict=True)]
    return answer("QUERY POLICYSET", columns, rows, detailed)


def query_mgmtclass(core: Core, args: Args) -> Reply:
    """QUERY MGMTCLASS [domain] [set] [class]."""
    of_domain, of_set, of_name = matching(args, "domain"), matching(args, "policyset"), matching(args, "name")
    columns = ("Policy Domain Name", "Policy Set Name", "Mgmt Class Name", "Default Mgmt Class?", "Description")
    order = (mgmtclasses.c.domain, mgmtclasses.c.policyset, mgmtclasses.c.name)
    with core.database.read() as connection:
        found = connection.execute(select(mgmtclasses).order_by(*order)).all()
        sets = connection.execute(select(policysets)).all()
    defaults = {(row.domain, row.name): row.default_class for row in sets}
    rows = [
        (
            c.domain,
            c.policyset,
            c.name,
            "Yes" if defaults.get((c.domain, c.policyset)) == c.name else "No",
            c.description,
        )
        for c in found
        if of_domain(c.domain) and of_set(c.policyset) and of_name(c.name)
    ]
    detailed = choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED"
    return answer("QUERY MGMTCLASS", columns, rows, detailed)


def _limit(value: int) -> str:
    return "No Limit" if value >= NOLIMIT else str(value)


def query_copygroup(core: Core, args: Args) -> Reply:
    """QUERY COPYGROUP [domain] [set] [class] [STANDARD] [TYPE=] [FORMAT=]."""
    of_domain, of_set, of_class = matching(args, "domain"), matching(args, "policyset"), matching(args, "mgmtclass")
    kind = choice(args, "type", "BACKUP", "BACKUP", "ARCHIVE")
    order = (copygroups.c.domain, copygroups.c.policyset, copygroups.c.mgmtclass)
    with core.database.read() as connection:
        found = connection.execute(select(copygroups).where(copygroups.c.type == kind).order_by(*order)).all()
    chosen = [g for g in found if of_domain(g.domain) and of_set(g.policyset) and of_class(g.mgmtclass)]
    columns: tuple[str, ...] = ("Policy Domain Name", "Policy Set Name", "Mgmt Class Name", "Copy Group Name")
    detailed = choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED"
    more: tuple[str, ...] = ("Copy Mode", "Copy Serialization", "Copy Frequency", "Copy Destination")
    rows: list[tuple[str, ...]] = []
    for g in chosen:
        key = (g.domain, g.policyset, g.mgmtclass, "STANDARD")
        if kind == "BACKUP":
            kept: tuple[str, ...] = (
                _limit(g.verexists),
                _limit(g.verdeleted),
                _limit(g.retextra_days),
                _limit(g.retonly_days),
            )
            extra = (g.mode.capitalize(), _title(g.serialization), str(g.frequency_days), g.destination)
        else:
            group = archive_group(g)
            kept = (_limit(group.retver_days), group.retinit.capitalize(), _limit(group.retmin_days))
            extra = ("Absolute", _title(group.serialization), "CMD", g.destination)
        rows.append((*key, *kept, *(extra if detailed else ())))
    own: tuple[str, ...] = (
        "Versions Data Exists",
        "Versions Data Deleted",
        "Retain Extra Versions",
        "Retain Only Version",
    )
    if kind == "ARCHIVE":
        own = ("Retain Version", "Retention Initiation", "Minimum Retention")
    return answer("QUERY COPYGROUP", (*columns, *own, *(more if detailed else ())), rows, detailed)


_TITLES = {"SHRSTATIC": "Shared Static", "SHRDYNAMIC": "Shared Dynamic", "STATIC": "Static", "DYNAMIC": "Dynamic"}


def _title(serialization: str) -> str:
    return _TITLES.get(serialization, "Shared Static")


COMMANDS = {
    "define domain": define_domain,
    "update domain": update_domain,
    "copy domain": copy_domain,
    "delete domain": delete_domain,
    "define policyset": define_policyset,
    "update policyset": update_policyset,
    "copy policyset": copy_policyset,
    "delete policyset": delete_policyset,
    "define mgmtclass": define_mgmtclass,
    "update mgmtclass": update_mgmtclass,
    "copy mgmtclass": copy_mgmtclass,
    "delete mgmtclass": delete_mgmtclass,
    "define copygroup": define_copygroup,
    "update copygroup": update_copygroup,
    "delete copygroup": delete_copygroup,
    "assign defmgmtclass": assign_defmgmtclass,
    "validate policyset": validate_policyset,
    "activate policyset": activate_policyset,
    "query policyset": query_policyset,
    "query mgmtclass": query_mgmtclass,
    "query copygroup": query_copygroup,
}
