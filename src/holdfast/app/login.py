"""``halogin``: a person of this machine acts as a user of the cluster until they log out.

Name and password stand in a file that only that person can read, and the password is checked against the configuration
each time, so a user who is deleted or whose password changes acts no more.
"""

from __future__ import annotations

import json
from pathlib import Path

from holdfast.cluster.plan.privileges import users
from holdfast.cluster.service.client import ClusterClient
from holdfast.kernel.errors import Refusal, Refused
from holdfast.runtime.password import fits
from holdfast.runtime.secretfile import read_secret, write_secret
from holdfast.store.port import Store


def login_file() -> Path:
    """Return where the login of whoever runs this stands."""
    return Path.home() / ".holdfast" / "login"


async def acting_as(store: Store) -> str:
    """Return the user that this person logged in as, or nothing. Raises ``Refused`` when the login fits no more."""
    file = login_file()
    if not file.is_file():
        return ""
    found = json.loads(read_secret(file))
    await _check(store, found["user"], found["password"])
    return str(found["user"])


async def log_in(store: Store, user: str, password: str) -> str:
    """Check the password and act as ``user`` from now on; without one, as oneself again. Return what was done."""
    if not user:
        login_file().unlink(missing_ok=True)
        return "VCS NOTICE you act as yourself again"
    await _check(store, user, password)
    login_file().parent.mkdir(mode=0o700, exist_ok=True)
    write_secret(login_file(), json.dumps({"user": user, "password": password}).encode())
    return f"VCS NOTICE you act as {user} until halogin -endallsessions"


async def _check(store: Store, user: str, password: str) -> None:
    kept = users(await ClusterClient(store, user).configuration()).get(user, "")
    if not fits(password, kept):
        raise Refused(Refusal("bad-login", "user or password is not right", "halogin CLUSTER USER, or -endallsessions"))
