"""A server's first start: pools, STANDARD policy, the first administrator with a password of its own.

That password is random, lies in a file that only the server's user reads, and does not expire: nobody types it.
"""

from __future__ import annotations

import os
from dataclasses import asdict

from sqlalchemy import insert, select

from holdfast.backup.model.pools import DISK, PRIMARY_DEFAULTS, DeviceType, PoolType
from holdfast.backup.model.privileges import Privilege
from holdfast.backup.service.catalog.administration import authorities
from holdfast.backup.service.catalog.policy import create_standard
from holdfast.backup.service.catalog.schema import admins, devclasses, domains, pools
from holdfast.backup.service.core import Core
from holdfast.backup.service.serverfile import ADMIN, ADMIN_PASSWORD_FILE, ServerConfig
from holdfast.backup.service.signon import credentials
from holdfast.runtime.secretfile import write_secret

CATALOG_FILE = "catalog.db"


def initialise(core: Core, config: ServerConfig) -> bool:
    """Create pools, STANDARD policy and the first administrator; False when the server was initialised before."""
    with core.database.read() as connection:
        if connection.execute(select(domains.c.name)).first() is not None:
            return False
    password = os.urandom(18).hex().encode()
    write_secret(core.directory / ADMIN_PASSWORD_FILE, password)
    with core.database.write() as connection:
        connection.execute(insert(devclasses), {"name": DISK, "type": DeviceType.DISK.value})
        for pool in config.pools:
            values = {
                "name": f"{pool.name[:24]}CLASS",
                "type": "FILE",
                "directory": str(pool.directory),
                "capacity_bytes": pool.capacity_bytes,
                "mountlimit": 20,
            }
            connection.execute(insert(devclasses), values)
            settings = asdict(PRIMARY_DEFAULTS)
            kind = PoolType.PRIMARY.value
            connection.execute(insert(pools), {"name": pool.name, "devclass": values["name"], "type": kind, **settings})
        create_standard(connection, config.pools[0].name, config.pools[-1].name)
        now_ns = core.now_ns()
        first = {"name": ADMIN, "registered_ns": now_ns, "password_ns": now_ns, "passexp_days": 0}
        connection.execute(insert(admins), {**first, **credentials(password)})
        connection.execute(insert(authorities), {"admin": ADMIN, "privilege": Privilege.SYSTEM.value, "name": ""})
    for pool in config.pools:
        core.keys.pool(pool.name)
    return True
