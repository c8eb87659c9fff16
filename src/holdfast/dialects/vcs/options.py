"""Which options each form of a command takes. One that it does not know is refused: ``hagrp -offline G -syss hosta``
must not take G offline everywhere because of a slip of the finger.

Forms that change the configuration are not listed; their words are read by :mod:`.editing`, and a value may look like
an option.
"""

from __future__ import annotations

from collections.abc import Mapping

_GROUP = {
    "state": "sys", "display": "attribute sys", "list": "", "value": "sys", "resources": "", "dep": "",
    "wait": "sys time", "forecast": "verbose", "switch": "to any site clus", "freeze": "persistent",
    "online": "sys any site force nopre propagate checkpartial", "unfreeze": "persistent",
    "offline": "sys any site force ifprobed propagate", "clear": "sys", "clearadminwait": "sys fault",
    "flush": "sys force", "autoenable": "sys", "enable": "sys", "disable": "sys", "ignore": "clus",
}  # fmt: skip
_RESOURCE = {
    "state": "sys group type", "display": "attribute sys group type ovalues", "list": "", "dep": "atleast",
    "value": "sys", "wait": "sys time", "online": "sys force", "offline": "sys ignoreparent parentprop",
    "offprop": "sys ignoreparent", "probe": "sys", "refreshinfo": "sys", "flushinfo": "sys", "clear": "sys",
    "action": "sys actionargs",
}  # fmt: skip
_SYSTEM = {
    "state": "", "display": "attribute sys", "list": "", "value": "sys", "wait": "sys time", "nodeid": "", "util": "",
    "freeze": "persistent evacuate", "unfreeze": "persistent", "force": "", "load": "", "updatelic": "",
    "dumptunables": "",
}  # fmt: skip
_TYPE = {"display": "attribute sys", "list": "", "value": "sys", "resources": ""}
_CLUSTER = {
    "display": "attribute sys", "list": "", "value": "", "state": "clus", "declare": "clus failover", "wait": "time",
}  # fmt: skip
_STOP = "force evacuate noautodisable"

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "hagrp": _GROUP,
    "hares": _RESOURCE,
    "hasys": _SYSTEM,
    "hatype": _TYPE,
    "haclus": _CLUSTER,
    "hastatus": {"": "", "sum": "", "summary": ""},
    "hastart": {"": "", "local": "", "onenode": "", "stale": ""},
    "hastop": {"all": _STOP, "local": _STOP, "sys": _STOP},
    "haconf": {"makerw": "", "dump": "makero"},
    "hacf": {"verify": "", "cftocmd": "dest", "cmdtocf": "dest"},
    "hauser": {
        "add": "priv group", "addpriv": "group", "delpriv": "group", "update": "", "delete": "", "display": "",
        "list": "",
    },
    "haalert": {"display": "", "list": "", "delete": "notes"},
}  # fmt: skip
"""Command → form → the options that it takes, apart from the form itself."""


def unknown_option(command: str, form: str, given: Mapping[str, object]) -> str:
    """Return what is wrong with the options that were ``given``; empty when the form takes all of them."""
    known = OPTIONS.get(command, {}).get(form)
    if known is None:
        return ""
    strange = [name for name in given if name not in known.split()]
    if not strange:
        return ""
    takes = " ".join(f"-{name}" for name in known.split()) or "no options"
    return f"-{strange[0]} is no option of {command} -{form}, which takes {takes}"
