"""The catalog as it was before revisions were written: nothing to do, everything after builds on it."""

from __future__ import annotations

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing: the tables are there."""
