"""Other servers: defined, changed, deleted. Their passwords and verification codes lie in the key ring."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import delete, func, insert, select, update

from holdfast.backup.model import messages
from holdfast.backup.model.virtual import DEFAULT_GRACE_DAYS
from holdfast.backup.service.admin.reply import Args, Reply, choice, identifier, number, refuse
from holdfast.backup.service.catalog.schema import devclasses, servers
from holdfast.backup.service.core import Core
from holdfast.backup.service.keys import ServerSecret


def define_server(core: Core, args: Args) -> Reply:
    """DEFINE SERVER name PASSWORD= HLADDRESS= LLADDRESS= NODENAME= DELGRACEPERIOD=."""
    name = identifier(args, "name")
    if name == core.name:
        raise refuse(
            "same-server", f"ANR2103E {name} is this server: virtual volumes need another", "name another server"
        )
    if not args.get("hladdress") or not args.get("lladdress"):
        raise refuse("invalid", "ANR2022E One or more parameters are missing - HLADDRESS, LLADDRESS")
    values = {
        "name": name,
        "hladdress": args["hladdress"],
        "lladdress": args["lladdress"],
        "nodename": args.get("nodename", core.name).upper(),
        "description": args.get("description", ""),
        "grace_days": number(args, "delgraceperiod", DEFAULT_GRACE_DAYS, 0, 9_999),
    }
    if not args.get("password"):
        raise refuse("invalid", "ANR2022E One or more parameters are missing - PASSWORD")
    password = args["password"].encode()
    with core.database.write() as connection:
        if connection.execute(select(servers).where(servers.c.name == name)).first() is not None:
            raise refuse("exists", messages.text("ANR2101E", what="DEFINE SERVER", kind="Server", name=name))
        core.keys.set_server(name, ServerSecret(password))
        connection.execute(insert(servers), values)
    return Reply([core.log("ANR1660I", name=name)])


def update_server(core: Core, args: Args) -> Reply:
    """UPDATE SERVER name PASSWORD= HLADDRESS= LLADDRESS= NODENAME= DELGRACEPERIOD= FORCESYNC=YES|NO."""
    name = identifier(args, "name")
    columns = {"hladdress": "hladdress", "lladdress": "lladdress", "nodename": "nodename", "description": "description"}
    values: dict[str, Any] = {column: args[key] for key, column in columns.items() if args.get(key)}
    if args.get("delgraceperiod"):
        values["grace_days"] = number(args, "delgraceperiod", DEFAULT_GRACE_DAYS, 0, 9_999)
    reset = choice(args, "forcesync", "NO", "YES", "NO") == "YES"
    with core.database.write() as connection:
        if connection.execute(select(servers).where(servers.c.name == name)).first() is None:
            raise refuse("not-found", messages.text("ANR2102E", what="UPDATE SERVER", kind="Server", name=name))
        if values:
            connection.execute(update(servers).where(servers.c.name == name).values(values))
    secret = core.keys.secrets.servers.get(name, ServerSecret(b""))
    if args.get("password"):
        secret = msgspec.structs.replace(secret, password=args["password"].encode())
    if reset:
        secret = msgspec.structs.replace(secret, verification=b"", reset=True)
    core.keys.set_server(name, secret)
    core.forget_media()
    changed = sorted(key.upper() for key in args if key != "name")
    texts = [core.log("ANR1639I", name=name, attributes=", ".join(changed))]
    return Reply([*texts, *([core.log("ANR4375I", name=name)] if reset else [])])


def delete_server(core: Core, args: Args) -> Reply:
    """DELETE SERVER name: refused while a device class stores at it."""
    name = identifier(args, "name")
    with core.database.write() as connection:
        if connection.execute(select(servers).where(servers.c.name == name)).first() is None:
            raise refuse("not-found", messages.text("ANR2102E", what="DELETE SERVER", kind="Server", name=name))
        count = connection.execute(select(func.count()).where(devclasses.c.server == name)).scalar_one()
        if count:
            raise refuse("referenced", f"ANR2103E {count} device classes store at {name}", "DELETE DEVCLASS first")
        connection.execute(delete(servers).where(servers.c.name == name))
    core.keys.set_server(name, None)
    core.forget_media()
    return Reply([core.log("ANR1502I", kind="Server", name=name)])


COMMANDS = {"define server": define_server, "update server": update_server, "delete server": delete_server}
