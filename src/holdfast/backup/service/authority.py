"""Authority in the catalog: what an administrator holds, and whether the command at hand may run.

The names a restricted class is compared with are looked up here, in the catalog and never in what the command claims:
the domain of a node is that of its row.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from holdfast.backup.model.privileges import SYSTEM_ONLY, Authority, Privilege, Scope, need_of
from holdfast.backup.plan.authority import permit
from holdfast.backup.service.admin.reply import Args, matching
from holdfast.backup.service.catalog.administration import authorities
from holdfast.backup.service.catalog.schema import nodes, volumes
from holdfast.backup.service.core import Core
from holdfast.kernel.errors import Refused


def held(connection: Connection, admin: str) -> list[Authority]:
    """Return the authorities of an administrator."""
    rows = connection.execute(select(authorities).where(authorities.c.admin == admin)).all()
    return [Authority(Privilege(row.privilege), row.name) for row in rows]


def authorize(core: Core, admin: str, operation: str, args: Args) -> None:
    """Return when ``admin`` may run the operation; raises ``Refused`` (return code 9) otherwise."""
    need = need_of(operation)
    if operation.endswith(" schedule") and args.get("type", "").upper().startswith("A") and need.classes:
        need = SYSTEM_ONLY  # an administrative schedule runs as the server itself
    if operation == "update admin" and args.get("name", "").upper() == admin and not set(args) - {"name", "password"}:
        return
    if not need.classes:
        return
    with core.database.read() as connection:
        mine = held(connection, admin)
        for names in _about(connection, need.scope, args) or [set()]:
            refusal = permit(mine, need, names)
            if refusal is not None:
                raise Refused(refusal)


def _about(connection: Connection, scope: Scope, args: Args) -> list[set[str]]:
    """Return, for each thing the command is about, the names under which a restricted class may hold it."""
    match scope:
        case Scope.DOMAIN:
            return [{args.get("domain", args.get("name", "STANDARD")).upper()}]
        case Scope.NODE:
            matches = matching(args, "node" if "node" in args else "name")
            found = connection.execute(select(nodes.c.name, nodes.c.domain)).all()
            about = [{row.name, row.domain} for row in found if matches(row.name)]
            return about + ([{args["domain"].upper()}] if "domain" in args else [])
        case Scope.POOL:
            return [{args.get("name", args.get("primary", args.get("pool", ""))).upper()} - {""}]
        case Scope.VOLUME:
            name = args.get("name", args.get("volume", ""))
            pool = connection.execute(select(volumes.c.pool).where(volumes.c.name == name.upper())).scalar()
            return [{pool} if pool else set()]
        case Scope.ALL:
            return []
