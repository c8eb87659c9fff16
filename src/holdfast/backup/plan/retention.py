"""How long archives stay: RETVER days from the moment of archiving, by the class they were archived under.

An archive is never rebound. When its class is gone, or has no archive copy group any more, the default class's applies;
where that has none either, the grace period of the domain, which is a year: nothing goes early because a policy was
tidied up.
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.backup.model.policy import NOLIMIT, ClassBinding
from holdfast.backup.plan.expiration import DAY_NS

GRACE_DAYS = 365
"""The domain's ARCHRETENTION [K]."""


def retention_days(classes: Mapping[str, ClassBinding], mgmtclass: str) -> int:
    """Return the days an archive of this class stays; ``NOLIMIT`` for ever."""
    default = next((binding for binding in classes.values() if binding.default), None)
    for binding in (classes.get(mgmtclass), default):
        if binding is not None and binding.archive is not None:
            return binding.archive.retver_days
    return GRACE_DAYS


def archive_ended(archived_ns: int, days: int, now_ns: int) -> bool:
    """Return whether an archive's time is over."""
    return days < NOLIMIT and archived_ns + days * DAY_NS <= now_ns
