"""The enrolment server of the system that holds the authority; it runs only while a token lives.

``python -m holdfast.app.enroller ROOT``, started by ``holdfast cluster init`` and ``token``. For a newcomer that shows
a live token it signs the newcomer's keys, adds its etcd member as a learner (no vote, nothing depends on it yet) and
writes the system into main.cf, in this order; each step finds itself done when the newcomer asks again.
"""

from __future__ import annotations

import ipaddress
import re
import select
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from holdfast.app.cluster import read_state, with_store
from holdfast.app.configuration import edited
from holdfast.app.hostfiles import (
    CLIENT_PORT,
    ENROLMENT_PORT,
    Places,
    Standing,
    host_port,
    keep_standing,
    known_standing,
    system_toml,
    write,
)
from holdfast.app.store import ETCD_NAME
from holdfast.cluster.config.edit import Draft
from holdfast.cluster.service.client import configuration_of
from holdfast.kernel.errors import InputError, Refusal, Refused
from holdfast.runtime.enrolment import Tokens, serve_one, server_side
from holdfast.runtime.identity import Identity, host_label
from holdfast.store.drivers.etcd_cluster import EtcdCluster
from holdfast.store.drivers.etcd_members import Tls

_NAME = re.compile(r"[A-Za-z][\w.-]*")
_LOOK_S = 1.0
_ADD_LIMIT_S = 15.0
_CERTIFIED = ("system", "etcd")


def etcd_of(places: Places, addresses: tuple[str, ...]) -> EtcdCluster:
    """Return the etcd cluster whose members run on ``addresses``, asked as this system."""
    mine = Identity.load(places.identity("system"))
    tls = Tls(mine.ca, mine.cert, mine.key, host_label(ETCD_NAME))
    return EtcdCluster([host_port(one, CLIENT_PORT) for one in addresses], tls)


class Enroller:
    """Answers newcomers for one cluster."""

    def __init__(self, places: Places, standing: Standing) -> None:
        self._places, self._standing, self.tokens = places, standing, Tokens(places.tokens)

    def answer(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take a newcomer in: return its certificates and what it has to know. Raises ``Refused``."""
        from holdfast.runtime.authority import sign

        name, address = str(asked.get("system")), str(asked.get("address"))
        sent = asked.get("requests")
        requests = {what: str((sent if isinstance(sent, dict) else {}).get(what)).encode() for what in _CERTIFIED}
        if not _NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name of a system", remedy="letters, digits, - and _, a letter first")
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise InputError(f"{address!r} is no address", remedy="give --address as an IP address") from error
        newcomer = "\n".join((name, address, *(text.decode() for text in requests.values())))
        self.tokens.bind(str(asked.get("secret")), newcomer, time.time())
        authority = self._places.authority
        given = {
            "system": sign(authority, requests["system"], f"system:{name}").decode(),
            "etcd": sign(authority, requests["etcd"], ETCD_NAME, [address]).decode(),
        }
        initial = self._add_member(name, address) if self._standing.etcd else []
        self._add_system(name)
        return {
            **given,
            "cluster": self._standing.cluster,
            "store": self._standing.store,
            "members": list(self._standing.members),
            "initial": initial,
        }

    def _add_member(self, name: str, address: str) -> list[str]:
        newcomer = replace(self._standing, system=name, address=address)
        etcd = etcd_of(self._places, self._standing.members)
        found = etcd.members()
        twin = next((one for one in found if one.name == name and one.peer_url != newcomer.peer_url), None)
        if twin is not None:
            reason = f"{name} is a member of etcd at {twin.peer_url}"
            raise Refused(Refusal("system-exists", reason, "choose another name, or let that one leave first"))
        etcd.add(newcomer.peer_url, _ADD_LIMIT_S)
        there = [urlsplit(one.client_url).hostname or "" for one in found if one.client_url]
        others = tuple(one for one in there if one not in (address, self._standing.address))
        self._standing = replace(self._standing, members=(self._standing.address, *others, address))
        keep_standing(self._places, self._standing)
        write(self._places.system_toml, system_toml(self._places, self._standing))
        initial = [f"{one.name}={one.peer_url}" for one in found if one.name and one.peer_url != newcomer.peer_url]
        return [*initial, f"{name}={newcomer.peer_url}"]

    def _add_system(self, name: str) -> None:
        url = self._places.store_url(self._standing)
        if name in configuration_of(read_state(url)).systems:
            return

        def change(draft: Draft) -> None:
            draft.add("system", name)

        with_store(url, lambda store, by: edited(store, by, change, f"{name} joins"))


def serve(root: Path) -> None:
    """Serve until no token lives any more."""
    places = Places(root)
    standing = known_standing(places)
    if standing is None or not standing.founder:
        raise InputError("this machine holds no authority", remedy="run it where holdfast cluster init was run")
    enroller = Enroller(places, standing)
    context = server_side(places.identity("enrolment"))
    ca = (places.authority / "ca.pem").read_bytes()
    family = socket.AF_INET6 if ":" in standing.address else socket.AF_INET
    with socket.create_server((standing.address, ENROLMENT_PORT), family=family) as listener:
        while enroller.tokens.live(time.time()):
            if select.select([listener], [], [], _LOOK_S)[0]:
                serve_one(listener, context, ca, enroller.answer)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
