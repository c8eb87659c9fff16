"""Policy in the catalog: what a node may bind to, and the STANDARD domain of a fresh server."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select

from holdfast.backup.model.policy import ACTIVE, STANDARD, ArchiveCopyGroup, BackupCopyGroup, ClassBinding
from holdfast.backup.service.catalog.schema import copygroups, domains, mgmtclasses, policysets


def backup_group(row: Any) -> BackupCopyGroup:
    """Return a backup copy group from its row."""
    return BackupCopyGroup(
        row.destination,
        row.verexists,
        row.verdeleted,
        row.retextra_days,
        row.retonly_days,
        row.frequency_days,
        row.mode,
        row.serialization,
    )


def archive_group(row: Any) -> ArchiveCopyGroup:
    """Return an archive copy group from its row."""
    serialization = row.serialization or "SHRSTATIC"
    return ArchiveCopyGroup(row.destination, row.retver_days, row.retinit or "CREATION", row.retmin_days, serialization)


def classes_of(connection: Connection, domain: str) -> list[ClassBinding]:
    """Return the management classes of a domain's active policy set; the default class is marked."""
    default = connection.execute(
        select(policysets.c.default_class).where(policysets.c.domain == domain, policysets.c.name == ACTIVE)
    ).scalar()
    names = connection.execute(
        select(mgmtclasses.c.name).where(mgmtclasses.c.domain == domain, mgmtclasses.c.policyset == ACTIVE)
    ).scalars()
    rows = connection.execute(
        select(copygroups).where(copygroups.c.domain == domain, copygroups.c.policyset == ACTIVE)
    ).all()
    backups = {row.mgmtclass: backup_group(row) for row in rows if row.type == "BACKUP"}
    archives = {row.mgmtclass: archive_group(row) for row in rows if row.type == "ARCHIVE"}
    return [ClassBinding(name, backups.get(name), archives.get(name), name == default) for name in sorted(names)]


def group_values(group: BackupCopyGroup | ArchiveCopyGroup) -> dict[str, Any]:
    """Return a copy group as column values."""
    if isinstance(group, ArchiveCopyGroup):
        return {
            "type": "ARCHIVE",
            "destination": group.destination,
            "retver_days": group.retver_days,
            "retinit": group.retinit,
            "retmin_days": group.retmin_days,
            "mode": "ABSOLUTE",
            "serialization": group.serialization,
        }
    return {
        "type": "BACKUP",
        "destination": group.destination,
        "verexists": group.verexists,
        "verdeleted": group.verdeleted,
        "retextra_days": group.retextra_days,
        "retonly_days": group.retonly_days,
        "frequency_days": group.frequency_days,
        "mode": group.mode,
        "serialization": group.serialization,
    }


def create_standard(connection: Connection, backup_pool: str, archive_pool: str) -> None:
    """Create the STANDARD domain, set and class, and activate the set."""
    connection.execute(insert(domains), {"name": STANDARD, "description": "Installed default policy domain."})
    for name, origin in ((STANDARD, ""), (ACTIVE, STANDARD)):
        where = {"domain": STANDARD, "policyset": name}
        connection.execute(
            insert(policysets),
            {"domain": STANDARD, "name": name, "default_class": STANDARD, "activated_from": origin},
        )
        connection.execute(insert(mgmtclasses), {**where, "name": STANDARD, "description": "Installed default class."})
        for group in (BackupCopyGroup(backup_pool), ArchiveCopyGroup(archive_pool)):
            connection.execute(insert(copygroups), {**where, "mgmtclass": STANDARD, **group_values(group)})
