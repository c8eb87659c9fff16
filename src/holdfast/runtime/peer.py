"""Who runs this command, as the audit log and the roles of the cluster name a person.

On the machine itself that is the user of the process, never what the environment says of it. Somebody who became root
is both: ``maria as root``. Who comes with an identity of their own (``user:NAME``) is that name, also as root of some
other machine; the identity of a system or a server proves where a command comes from, not who types it.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from holdfast.runtime.identity import Identity

USER_PREFIX = "user:"


def user_name(uid: int) -> str:
    """Return the name of a user of this machine, or ``uid N`` when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def who_asks(identity: str = "") -> str:
    """Return who runs this process; ``identity`` is the directory with which it proves itself to a store, if any."""
    if identity and (named := _proven(Path(identity))):
        return named
    name = user_name(os.getuid())
    before = os.environ.get("SUDO_USER", "")
    return f"{before} as {name}" if name == "root" and before not in ("", "root") else name


def _proven(directory: Path) -> str:
    name = Identity.load(directory).name
    return name.removeprefix(USER_PREFIX) if name.startswith(USER_PREFIX) else ""
