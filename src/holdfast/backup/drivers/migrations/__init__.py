"""From the catalog that is there to the schema that this release needs, the same way for every database.

A fresh catalog is made from the schema and stamped with the newest revision. An older one goes through the revisions in
``versions`` (alembic), each of which changes what was there; then missing tables are made and missing columns added
with their defaults, so that a release which only adds needs no revision. All of it is one transaction where the
database allows that, as SQLite and PostgreSQL do.
"""

from __future__ import annotations

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, inspect

from holdfast.kernel.errors import InputError

BEFORE_REVISIONS = "0001"
"""What a catalog is that has tables and no revision: made before revisions were written."""


def migrate(connection: Connection, schema: MetaData) -> None:
    """Bring a catalog up to date. Raises ``InputError`` for one that a newer release has made."""
    config = Config()
    config.set_main_option("script_location", "holdfast.backup.drivers:migrations")
    script = ScriptDirectory.from_config(config)
    fresh = not inspect(connection).get_table_names()
    schema.create_all(connection)
    current = MigrationContext.configure(connection).get_current_revision()
    known = {revision.revision for revision in script.walk_revisions()}
    if current is not None and current not in known:
        remedy = "use the release that made it, or a newer one"
        raise InputError(f"the catalog has revision {current}, which this release does not know", remedy=remedy)
    if fresh:
        _stamp(connection, script, "head")
        return
    if current is None:
        _stamp(connection, script, BEFORE_REVISIONS)
    _add_columns(connection, schema)
    _run(connection, config, script)


def _stamp(connection: Connection, script: ScriptDirectory, revision: str) -> None:
    MigrationContext.configure(connection).stamp(script, revision)


def _run(connection: Connection, config: Config, script: ScriptDirectory) -> None:
    def upgrade(revision: object, _context: object) -> object:
        return script._upgrade_revs("head", revision)  # type: ignore[arg-type]

    with EnvironmentContext(config, script, fn=upgrade) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()


def _add_columns(connection: Connection, schema: MetaData) -> None:
    operations, inspector = Operations(MigrationContext.configure(connection)), inspect(connection)
    for table in schema.sorted_tables:
        known = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                default = column.server_default.arg if column.server_default is not None else None  # type: ignore[attr-defined]
                plain: Column[object] = Column(
                    column.name, column.type, nullable=column.nullable, server_default=default
                )
                operations.add_column(table.name, plain)
    for table in schema.sorted_tables:
        for index in table.indexes:
            index.create(connection, checkfirst=True)
