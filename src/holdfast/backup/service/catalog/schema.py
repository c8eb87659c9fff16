"""The catalog's schema, the same for every database driver.

Content lies in *groups* (one encrypted record of about 4 MiB raw, holding many chunks). A group may lie in several
places: one in its primary pool and one in each copy pool; a place is a volume and an offset. Versions name chunks,
chunks name their group, so a copy pool needs neither chunks nor versions of its own, and any readable place serves a
restore. ``groups.pool`` is the pool that the content was bound for: it names the key and the set within which chunks
are deduplicated, and does not change when the group is migrated; where it lies now is said by its places' volumes.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
    true,
)

metadata = MetaData()
ID = BigInteger().with_variant(Integer, "sqlite")
"""The type of row numbers."""


def _text(name: str, **options: object) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="", **options)  # type: ignore[arg-type]


def _number(name: str, default: int = 0) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=str(default))


settings = Table("settings", metadata, Column("name", Text, primary_key=True), _text("value"))

nodes = Table(
    "nodes",
    metadata,
    Column("name", Text, primary_key=True),
    _text("domain"),
    _text("type"),
    Column("salt", LargeBinary, nullable=False),
    Column("stored_key", LargeBinary, nullable=False),
    _text("contact"),
    _text("cloptset"),
    _text("certificates"),
    _text("compression"),
    _number("maxnummp", 1),
    _number("locked"),
    _number("invalid"),
    _number("password_ns"),
    Column("passexp_days", BigInteger),
    Column("verification", LargeBinary),
    _text("platform"),
    _number("registered_ns"),
    _number("access_ns"),
    _number("backdelete"),
    _number("archdelete", 1),
)
admins = Table(
    "admins",
    metadata,
    Column("name", Text, primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("stored_key", LargeBinary, nullable=False),
    _text("contact"),
    _number("locked"),
    _number("invalid"),
    _number("registered_ns"),
    _number("password_ns"),
    Column("passexp_days", BigInteger),
    _number("access_ns"),
)
domains = Table(
    "domains",
    metadata,
    Column("name", Text, primary_key=True),
    _text("description"),
    _number("backretention_days", 30),
    _number("archretention_days", 365),
)
policysets = Table(
    "policysets",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    _text("default_class"),
    _text("activated_from"),
    _text("description"),
    _number("activated_ns"),
)
mgmtclasses = Table(
    "mgmtclasses",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("policyset", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    _text("description"),
)
copygroups = Table(
    "copygroups",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("policyset", Text, primary_key=True),
    Column("mgmtclass", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    _text("destination"),
    _number("verexists"),
    _number("verdeleted"),
    _number("retextra_days"),
    _number("retonly_days"),
    _number("frequency_days"),
    _text("mode"),
    _text("serialization"),
    _number("retver_days"),
    _text("retinit"),
    _number("retmin_days", 365),
)
servers = Table(
    "servers",
    metadata,
    Column("name", Text, primary_key=True),
    _text("hladdress"),
    _text("lladdress"),
    _text("nodename"),
    _text("description"),
    _number("grace_days", 5),
    _number("access_ns"),
)
devclasses = Table(
    "devclasses",
    metadata,
    Column("name", Text, primary_key=True),
    _text("type"),
    _text("server"),
    _text("directory"),
    _text("prefix"),
    _number("capacity_bytes"),
    _number("mountlimit", 1),
    _number("retryperiod_min", 10),
    _number("retryinterval_s", 30),
    _number("mountretention_min", 60),
    _text("endpoint"),
    _text("bucket"),
    _text("region"),
    _text("credentials"),
)
pools = Table(
    "pools",
    metadata,
    Column("name", Text, primary_key=True),
    _text("devclass"),
    _text("type"),
    _text("description"),
    _text("next_pool"),
    _number("maxscratch"),
    _number("highmig", 90),
    _number("lowmig", 70),
    _number("reclaim", 60),
    _number("reusedelay_days"),
    _text("access"),
    _number("maxsize_bytes"),
    _text("collocate"),
    _number("migdelay_days"),
    Column("migcontinue", Boolean, nullable=False, server_default=true()),
    _number("migprocess", 1),
    _number("reclaimprocess", 1),
    _text("reclaim_pool"),
    _number("offsitereclaimlimit"),
    Column("crcdata", Boolean, nullable=False, server_default=false()),
    Column("cache", Boolean, nullable=False, server_default=false()),
    _number("lock_days"),
)
volumes = Table(
    "volumes",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    _text("pool"),
    _text("devclass"),
    _text("status"),
    _text("access"),
    _number("size_bytes"),
    _number("written_ns"),
    _number("created_ns"),
    Column("scratch", Boolean, nullable=False, server_default=true()),
    _number("capacity_bytes"),
    _number("pending_ns"),
    _text("owner"),
    _text("location"),
)
groups = Table(
    "groups",
    metadata,
    Column("id", ID, primary_key=True),
    Column("uuid", LargeBinary, nullable=False, unique=True),
    _text("pool"),
    _number("raw_bytes"),
    _number("stored_bytes"),
    _number("filespace"),
    Column("live_bytes", BigInteger),
)
places = Table(
    "places",
    metadata,
    Column("grp", ID, ForeignKey("groups.id"), primary_key=True),
    Column("volume", ID, ForeignKey("volumes.id"), primary_key=True),
    _number("offset"),
    _number("length"),
    Column("damaged", Boolean, nullable=False, server_default=false()),
    Column("cached", Boolean, nullable=False, server_default=false()),
    sqlite_with_rowid=False,
)
Index("places_by_volume", places.c.volume, places.c.offset)
_DAMAGED = places.c.damaged.is_(True)
Index("places_damaged", places.c.grp, sqlite_where=_DAMAGED, postgresql_where=_DAMAGED)
chunks = Table(
    "chunks",
    metadata,
    Column("id", ID, primary_key=True),
    _text("pool"),
    Column("name", LargeBinary, nullable=False),
    Column("grp", ID, ForeignKey("groups.id"), nullable=False),
    _number("offset"),
    _number("length"),
)
Index("chunks_by_name", chunks.c.pool, chunks.c.name, unique=True)
Index("chunks_by_group", chunks.c.grp)
filespaces = Table(
    "filespaces",
    metadata,
    Column("id", ID, primary_key=True),
    _text("node"),
    _text("name"),
    _text("type"),
    _number("started_ns"),
    _number("ended_ns"),
)
Index("filespaces_by_name", filespaces.c.node, filespaces.c.name, unique=True)
versions = Table(
    "versions",
    metadata,
    Column("id", ID, primary_key=True),
    Column("filespace", ID, ForeignKey("filespaces.id"), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("stat", LargeBinary, nullable=False),
    Column("extra", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    _text("mgmtclass"),
    _number("size_bytes"),
    _number("stored_ns"),
    Column("inactive_ns", BigInteger),
)
Index("versions_by_key", versions.c.filespace, versions.c.key)
_INACTIVE = versions.c.inactive_ns.is_not(None)
Index(
    "versions_inactive",
    versions.c.filespace,
    versions.c.inactive_ns,
    sqlite_where=_INACTIVE,
    postgresql_where=_INACTIVE,
)
# SQLite has one writer at a time, which looks before it stores; several writers need the database to watch.
Index(
    "versions_active",
    versions.c.filespace,
    versions.c.key,
    unique=True,
    postgresql_where=text("inactive_ns IS NULL"),
).ddl_if(dialect="postgresql")
archives = Table(
    "archives",
    metadata,
    Column("node", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    _text("filespace"),
    _text("mgmtclass"),
    _text("pool"),
    _number("size_bytes"),
    _number("written_ns"),
    Column("writing", Boolean, nullable=False, server_default=false()),
    Column("marked_ns", BigInteger),
    _number("grace_days", 5),
)
volhistory = Table(
    "volhistory",
    metadata,
    Column("id", ID, primary_key=True),
    _number("at_ns"),
    _text("type"),
    _number("series"),
    _number("operation"),
    _number("sequence"),
    _text("devclass"),
    _text("volume"),
    _number("size_bytes"),
    _number("written_ns"),
    _text("command"),
)
actlog = Table(
    "actlog",
    metadata,
    Column("id", ID, primary_key=True),
    _number("at_ns"),
    _text("message"),
    _number("session"),
    _number("process"),
)
