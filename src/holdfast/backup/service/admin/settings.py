"""The server's settings, whichever command sets them: one place that knows them all with their values."""

from __future__ import annotations

from sqlalchemy import Connection

from holdfast.backup.service.admin import passwords
from holdfast.backup.service.core import setting
from holdfast.backup.service.schedules import SETTINGS


def settings_of(connection: Connection) -> dict[str, str]:
    """Return every setting with its value; one that is left to the client is ``CLIENT``."""
    defaults = {**SETTINGS, **passwords.DEFAULTS}
    return {name: setting(connection, name) or default or "CLIENT" for name, default in sorted(defaults.items())}
