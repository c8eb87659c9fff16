"""The verbs of ``dsmc`` by name: the one table that the command line, macros and scheduled events share."""

from __future__ import annotations

from holdfast.dialects.tsm import dsmcfetch, dsmcquery, dsmcremove, dsmcstore
from holdfast.dialects.tsm.dsmcdesk import Verb
from holdfast.dialects.tsm.dsmcwords import Arguments
from holdfast.kernel.errors import InputError

VERBS: dict[str, Verb] = {
    "incremental": dsmcstore.incremental,
    "selective": dsmcstore.selective,
    "archive": dsmcstore.archive,
    "preview": dsmcstore.preview,
    "restore": dsmcfetch.restore,
    "retrieve": dsmcfetch.retrieve,
    "query": dsmcquery.query,
    "delete": dsmcremove.delete,
    "expire": dsmcremove.expire,
    "set": dsmcremove.set_,
}


def verb(read: Arguments) -> Verb:
    """Return what carries a command out. Raises ``InputError`` for one that cannot stand here."""
    if read.verb not in VERBS:
        raise InputError(f"ANS1138E The '{read.verb}' command cannot stand here", remedy=", ".join(VERBS))
    return VERBS[read.verb]
