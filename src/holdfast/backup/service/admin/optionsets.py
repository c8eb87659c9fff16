"""Client option sets: options that the server gives to the nodes that UPDATE NODE CLOPTSET= names.

They reach the client with the greeting of its session (``Welcome``). Include and exclude statements of a set are
evaluated before the client's own and cannot be overridden (section 13); other options override the client's only with
FORCE=YES.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from holdfast.backup.model.pools import NAME_LIMIT
from holdfast.backup.service.admin.reply import Args, Reply, answer, choice, identifier, matching, number, refuse
from holdfast.backup.service.catalog.administration import clientopts, cloptsets
from holdfast.backup.service.catalog.schema import nodes
from holdfast.backup.service.core import Core
from holdfast.backup.session import messages as m

_MANY = frozenset({"INCLEXCL", "DOMAIN"})
"""Options that may stand several times, in the order of their sequence numbers."""
_REFUSED = frozenset({"NODENAME", "PASSWORD", "PASSWORDACCESS", "PASSWORDDIR", "SERVERNAME", "TCPSERVERADDRESS",
                      "TCPPORT", "TLSIDENTITY", "TLSSERVERNAME", "INVENTORYDIR"})  # fmt: skip
"""What a client needs before it has a session is not the server's to say."""
_VALUE_CHARACTERS = 1_024


def _set_row(connection: Connection, name: str) -> Any:
    row = connection.execute(select(cloptsets).where(cloptsets.c.name == name)).first()
    if row is None:
        raise refuse("not-found", f"ANR2102E Option set {name} is not defined.", "DEFINE CLOPTSET")
    return row


def define_cloptset(core: Core, args: Args) -> Reply:
    """DEFINE CLOPTSET name DESCRIPTION=."""
    name = identifier(args, "name", NAME_LIMIT)
    with core.database.write() as connection:
        if connection.execute(select(cloptsets).where(cloptsets.c.name == name)).first() is not None:
            raise refuse("exists", f"ANR2101E DEFINE CLOPTSET: Option set {name} is already defined.")
        connection.execute(insert(cloptsets), {"name": name, "description": args.get("description", "")})
    return Reply([core.log("ANR2046I", name=name, done="defined")])


def update_cloptset(core: Core, args: Args) -> Reply:
    """UPDATE CLOPTSET name DESCRIPTION=."""
    name = identifier(args, "name")
    with core.database.write() as connection:
        _set_row(connection, name)
        values = {"description": args.get("description", "")}
        connection.execute(update(cloptsets).where(cloptsets.c.name == name).values(values))
    return Reply([core.log("ANR2046I", name=name, done="updated")])


def copy_cloptset(core: Core, args: Args) -> Reply:
    """COPY CLOPTSET name newname."""
    old, new = identifier(args, "name"), identifier(args, "newname", NAME_LIMIT)
    with core.database.write() as connection:
        row = _set_row(connection, old)
        if connection.execute(select(cloptsets).where(cloptsets.c.name == new)).first() is not None:
            raise refuse("exists", f"ANR2101E COPY CLOPTSET: Option set {new} is already defined.")
        connection.execute(insert(cloptsets), {**row._mapping, "name": new})
        for option in connection.execute(select(clientopts).where(clientopts.c.optionset == old)).all():
            connection.execute(insert(clientopts), {**option._mapping, "optionset": new})
    return Reply([core.log("ANR2046I", name=new, done=f"copied from {old}")])


def delete_cloptset(core: Core, args: Args) -> Reply:
    """DELETE CLOPTSET name: nodes that had it have none then."""
    name = identifier(args, "name")
    with core.database.write() as connection:
        _set_row(connection, name)
        connection.execute(delete(cloptsets).where(cloptsets.c.name == name))
        connection.execute(delete(clientopts).where(clientopts.c.optionset == name))
        connection.execute(update(nodes).where(nodes.c.cloptset == name).values(cloptset=""))
    return Reply([core.log("ANR2046I", name=name, done="deleted")])


def _option(args: Args) -> tuple[str, str]:
    name, value = identifier(args, "option"), args.get("value", "")
    if name in _REFUSED:
        raise refuse("invalid", f"ANR2020E Invalid parameter - {name}", "the client needs it before it has a session")
    if not value or len(value) > _VALUE_CHARACTERS or not value.isprintable():
        raise refuse("invalid", "ANR2020E Invalid parameter - VALUE", f"1 to {_VALUE_CHARACTERS} printable characters")
    return name, value


def define_clientopt(core: Core, args: Args) -> Reply:
    """DEFINE CLIENTOPT set option value FORCE=NO SEQNUMBER=: a new one stands behind the others of its name."""
    optionset, (name, value) = identifier(args, "optionset"), _option(args)
    force = int(choice(args, "force", "NO", "YES", "NO") == "YES")
    with core.database.write() as connection:
        _set_row(connection, optionset)
        mine = (clientopts.c.optionset == optionset, clientopts.c.name == name)
        last = connection.execute(select(func.max(clientopts.c.seq)).where(*mine)).scalar()
        if last is not None and name not in _MANY:
            raise refuse("exists", f"ANR2101E DEFINE CLIENTOPT: Option {name} is already defined.", "UPDATE CLIENTOPT")
        seq = number(args, "seqnumber", 0 if last is None else last + 1, 0, 9_999)
        if connection.execute(select(clientopts).where(*mine, clientopts.c.seq == seq)).first() is not None:
            raise refuse("exists", f"ANR2101E DEFINE CLIENTOPT: {name} {seq} is already defined.", "another SEQNUMBER")
        values = {"optionset": optionset, "name": name, "seq": seq, "value": value, "force": force}
        connection.execute(insert(clientopts), values)
    return Reply([core.log("ANR2050I", name=name, seq=seq, optionset=optionset, done="defined")])


def update_clientopt(core: Core, args: Args) -> Reply:
    """UPDATE CLIENTOPT set option seqnumber NEWSEQNUMBER=."""
    optionset, name = identifier(args, "optionset"), identifier(args, "option")
    old, new = number(args, "seqnumber", 0, 0, 9_999), number(args, "newseqnumber", -1, 0, 9_999)
    mine = (clientopts.c.optionset == optionset, clientopts.c.name == name)
    with core.database.write() as connection:
        if connection.execute(select(clientopts).where(*mine, clientopts.c.seq == old)).first() is None:
            raise refuse("not-found", f"ANR2102E Option {name} {old} is not defined.")
        if connection.execute(select(clientopts).where(*mine, clientopts.c.seq == new)).first() is not None or new < 0:
            raise refuse("invalid", "ANR2020E Invalid parameter - NEWSEQNUMBER", "a number that is free")
        connection.execute(update(clientopts).where(*mine, clientopts.c.seq == old).values(seq=new))
    return Reply([core.log("ANR2050I", name=name, seq=new, optionset=optionset, done="updated")])


def delete_clientopt(core: Core, args: Args) -> Reply:
    """DELETE CLIENTOPT set option [SEQNUMBER=n|ALL]."""
    optionset, name = identifier(args, "optionset"), identifier(args, "option")
    statement = delete(clientopts).where(clientopts.c.optionset == optionset, clientopts.c.name == name)
    every = "ALL".startswith(args.get("seqnumber", "ALL").upper())
    if not every:
        statement = statement.where(clientopts.c.seq == number(args, "seqnumber", 0, 0, 9_999))
    with core.database.write() as connection:
        gone = connection.execute(statement).rowcount
    if not gone:
        raise refuse("not-found", f"ANR2102E Option {name} is not defined in {optionset}.")
    return Reply(
        [core.log("ANR2050I", name=name, seq=args.get("seqnumber", "ALL"), optionset=optionset, done="deleted")]
    )


def query_cloptset(core: Core, args: Args) -> Reply:
    """QUERY CLOPTSET [name]: one line for each option."""
    matches = matching(args)
    columns = ("Optionset", "Description", "Option", "Sequence number", "Override", "Option Value")
    order = (cloptsets.c.name, clientopts.c.name, clientopts.c.seq)
    joined = cloptsets.outerjoin(clientopts, clientopts.c.optionset == cloptsets.c.name)
    statement = select(
        cloptsets, clientopts.c.name.label("option"), clientopts.c.seq, clientopts.c.force, clientopts.c.value
    )
    with core.database.read() as connection:
        found = connection.execute(statement.select_from(joined).order_by(*order)).all()
    rows = [
        (r.name, r.description, r.option or "", "" if r.seq is None else str(r.seq), "Yes" if r.force else "No",
         r.value or "")
        for r in found
        if matches(r.name)
    ]  # fmt: skip
    return answer("QUERY CLOPTSET", columns, rows)


def options_of(core: Core, node: str) -> tuple[m.ServerOption, ...]:
    """Return the options that a node gets from its option set, in the order of names and sequence numbers."""
    joined = select(clientopts).join(nodes, nodes.c.cloptset == clientopts.c.optionset).where(nodes.c.name == node)
    with core.database.read() as connection:
        rows = connection.execute(joined.order_by(clientopts.c.name, clientopts.c.seq)).all()
    return tuple(m.ServerOption(row.name, row.value, bool(row.force)) for row in rows)


COMMANDS = {
    "define cloptset": define_cloptset,
    "update cloptset": update_cloptset,
    "copy cloptset": copy_cloptset,
    "delete cloptset": delete_cloptset,
    "define clientopt": define_clientopt,
    "update clientopt": update_clientopt,
    "delete clientopt": delete_clientopt,
    "query cloptset": query_cloptset,
}
