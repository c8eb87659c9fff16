"""Whether an administrator may give a command: authorities against the need of the operation."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from holdfast.backup.model.privileges import Authority, Need, Privilege
from holdfast.kernel.errors import Refusal


def permit(authorities: Iterable[Authority], need: Need, names: Collection[str]) -> Refusal | None:
    """Return None when one of ``authorities`` meets ``need``, otherwise why not.

    ``names`` are the domains, pools and nodes that the command is about; a restricted class suffices when it is
    restricted to one of them. Commands about several things must be asked once for each.
    """
    held = tuple(authorities)
    if not need.classes or any(has.privilege is Privilege.SYSTEM for has in held):
        return None
    for has in held:
        if has.privilege in need.classes and (not has.name or has.name in names):
            return None
    wanted = " or ".join(["SYSTEM", *(p.value for p in need.classes if p is not Privilege.SYSTEM)])
    restricted = [has for has in held if has.privilege in need.classes]
    if restricted:
        about = f"for {' or '.join(sorted(names))}" if names else "without restriction"
        return Refusal("authentication", f"ANR2052E the command needs privilege {wanted} {about}", "GRANT AUTHORITY")
    return Refusal("authentication", f"ANR2052E the command needs privilege {wanted}", "GRANT AUTHORITY")
