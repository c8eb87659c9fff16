"""Pools got their settings: what was not set means what it always meant, and DISK is a device class of every server."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
_NOLIMIT = 2**31 - 1


def upgrade() -> None:
    """MAXSCRATCH=0 meant no limit; an access that is not written is READWRITE."""
    pools = sa.table("pools", sa.column("maxscratch"), sa.column("access"), sa.column("offsitereclaimlimit"))
    op.execute(pools.update().where(pools.c.maxscratch == 0).values(maxscratch=_NOLIMIT))
    op.execute(pools.update().where(pools.c.access == "").values(access="READWRITE", offsitereclaimlimit=_NOLIMIT))
    devclasses = sa.table("devclasses", sa.column("name"), sa.column("type"))
    known = op.get_bind().execute(sa.select(devclasses.c.name).where(devclasses.c.name == "DISK")).first()
    if known is None and op.get_bind().execute(sa.select(devclasses.c.name)).first() is not None:
        op.execute(devclasses.insert().values(name="DISK", type="DISK"))
