"""``holdfast cluster init``, ``token``, ``join``, ``leave``: a machine becomes a system of a cluster, or ends to be.

Each is a list of steps that find themselves done: after a break the same command goes on where it was. What the
machine is stands in ``cluster.json`` (:mod:`holdfast.app.hostfiles`); files are written before anything is started,
and the store takes the system in before its daemon runs.
"""

from __future__ import annotations

import ipaddress
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast.app.cluster import read_state, submit, with_store
from holdfast.app.configuration import change, edited
from holdfast.app.enroller import etcd_of
from holdfast.app.hostfiles import (
    ENROLMENT_PORT,
    ETCD,
    SYSTEM,
    Places,
    Standing,
    insist_same_or_new,
    keep_standing,
    known_standing,
    write_files,
)
from holdfast.app.hostservices import HostServices
from holdfast.app.store import ETCD_NAME, check_store
from holdfast.cli.cluster import Answer
from holdfast.cluster.config.amend import Change
from holdfast.cluster.config.edit import Draft
from holdfast.cluster.config.files import read_files
from holdfast.cluster.model.facts import Intent, Life, Request, Wanted
from holdfast.cluster.service.client import configuration_of
from holdfast.cluster.service.records import CONFIG, State
from holdfast.kernel.errors import InputError, Refusal, Refused
from holdfast.runtime import enrolment
from holdfast.runtime.identity import Identity, save_identity
from holdfast.runtime.secretfile import read_secret, write_secret
from holdfast.store.port import Store

Values = Mapping[str, Any]
_ETCD_LIMIT_S = 60.0
_MAIN_CF = 'include "types.cf"\n\ncluster {0} ( )\n\nsystem {1} ( )\n'
_ENROLLER = "holdfast-enrolment"


def _places(values: Values) -> Places:
    return Places(Path(str(values.get("root") or "/")).resolve())


def _address(values: Values) -> str:
    given = str(values.get("address") or "")
    try:
        return str(ipaddress.ip_address(given))
    except ValueError as error:
        remedy = "give the IP address under which the other systems reach this one"
        raise InputError(f"--address: {given!r} is no address", remedy=remedy) from error


# --- the first system


def init(store: str, values: Values) -> Answer:
    """Make a cluster with this machine as its first system; print how the next one joins."""
    places, system, address = _places(values), str(values["system"]), _address(values)
    etcd, config = bool(values.get("etcd")), str(values.get("config") or "")
    url = "" if etcd else store or f"embedded://{places.root / 'var/lib/holdfast/cluster.db'}"
    if url:
        check_store(url)
    wished = Standing(str(values["name"]), system, address, url, founder=True, members=(address,) if etcd else ())
    files = read_files(Path(config)) if config else {"main.cf": _MAIN_CF.format(wished.cluster, system)}
    standing = insist_same_or_new(places, wished)
    _insist_etcd(standing)
    keep_standing(places, standing)
    _found_authority(places, system, address)
    write_files(places, standing, [f"{system}={standing.peer_url}"] if etcd else [])
    services = HostServices(places)
    if etcd:
        services.start_etcd()
        etcd_of(places, (address,)).await_answer(_ETCD_LIMIT_S)
    else:
        (places.root / "var/lib/holdfast").mkdir(parents=True, exist_ok=True)
    _load_first(places.store_url(standing), files)
    services.start_system()
    if url.startswith("embedded:"):
        value = {"cluster": standing.cluster, "system": system}
        return Answer(value, f"cluster {standing.cluster}: {system} is its only system; its store is of this machine")
    return _token(places, standing, float(values.get("lifetime") or 3600.0))


def _insist_etcd(standing: Standing) -> None:
    if standing.etcd and shutil.which("etcd") is None:
        raise InputError("etcd is not installed", remedy="install the package etcd-server, then ask again")


def _found_authority(places: Places, system: str, address: str) -> None:
    from holdfast.runtime.authority import create_authority, issue

    create_authority(places.authority)
    names = {"system": (f"system:{system}", ()), "etcd": (ETCD_NAME, (address,)), "enrolment": (enrolment.NAME, ())}
    for what, (name, addresses) in names.items():
        if not (places.identity(what) / "key.pem").exists():
            save_identity(issue(places.authority, name, addresses), places.identity(what))


def _load_first(url: str, files: Mapping[str, str]) -> None:
    async def load(store: Store, by: str) -> None:
        if State.of(await store.read(CONFIG)).config is None:
            await change(store, by, files, "the cluster is made")

    with_store(url, load, may_create=True)


def token(_store: str, values: Values) -> Answer:
    """Make another token and print how a system joins with it."""
    places = _places(values)
    standing = known_standing(places)
    if standing is None or not standing.founder:
        reason = "tokens are made where the authority is: on the system on which the cluster was made"
        raise Refused(Refusal("no-authority", reason, "run holdfast cluster token there"))
    if standing.store.startswith("embedded:"):
        raise Refused(Refusal("one-machine", "this cluster's store is of this machine alone", "init with --etcd"))
    return _token(places, standing, float(values.get("lifetime") or 3600.0))


def _token(places: Places, standing: Standing, lifetime_s: float) -> Answer:
    from holdfast.runtime.authority import fingerprint

    if not 0 < lifetime_s <= 7 * 86400:
        raise InputError("a token lives up to a week", remedy="give --lifetime in seconds, up to 604800")
    secret = enrolment.Tokens(places.tokens).make(time.time(), lifetime_s)
    whole = f"{secret}.{fingerprint((places.authority / 'ca.pem').read_bytes())}"
    words = [sys.executable, "-m", "holdfast.app.enroller", str(places.root)]
    HostServices(places).start_beside(_ENROLLER, words)
    enrolment.await_server(standing.address, ENROLMENT_PORT, 20.0)
    line = f"holdfast cluster join {standing.address} --token {whole}"
    value = {"cluster": standing.cluster, "system": standing.system, "join": line, "token": whole,
             "lifetime_s": lifetime_s}  # fmt: skip
    text = (
        f"cluster {standing.cluster}: {standing.system} runs. On one further system, within {lifetime_s:.0f} s:\n"
        f"  {line} --system NAME --address ADDRESS"
    )
    return Answer(value, text)


# --- every further system


def join(_store: str, values: Values) -> Answer:
    """Make this machine a system of the cluster whose enrolment server runs at the address that is given."""
    places, address = _places(values), _address(values)
    host, port = str(values["at"]), ENROLMENT_PORT
    given_token = str(values["token"])
    if given_token.startswith("@"):  # others of this machine can read the words of a command
        given_token = read_secret(Path(given_token[1:])).decode(errors="replace").strip()
    secret, fingerprint = enrolment.split_token(given_token)
    wished = Standing("", str(values["system"]), address, members=(address,))
    standing = insist_same_or_new(places, wished)
    authority = enrolment.authority_at(host, port, fingerprint)
    keep_standing(places, standing)
    asked = {what: _request_of(places, what, name).decode() for what, name in
             (("system", f"system:{standing.system}"), ("etcd", ETCD_NAME))}  # fmt: skip
    given = enrolment.enrol(
        host, port, authority, {"secret": secret, "system": standing.system, "address": address, "requests": asked}
    )
    for what in ("system", "etcd"):
        key = (places.identity(what) / "key.pem").read_bytes()
        save_identity(Identity(authority, str(given[what]).encode(), key), places.identity(what))
    others = [one for one in given["members"] if one != address]
    standing = replace(
        standing, cluster=str(given["cluster"]), store=str(given["store"]),
        members=(address, *others) if not given["store"] else (),
    )  # fmt: skip
    _insist_etcd(standing)
    write_files(places, standing, given["initial"])
    keep_standing(places, standing)
    services = HostServices(places)
    if standing.etcd:
        services.start_etcd()
        etcd_of(places, tuple(others)).promote(standing.peer_url, _ETCD_LIMIT_S)
        etcd_of(places, (address,)).await_answer(_ETCD_LIMIT_S)
    services.start_system()
    value = {"cluster": standing.cluster, "system": standing.system, "members": list(standing.members)}
    return Answer(value, f"{standing.system} is a system of cluster {standing.cluster}")


def _request_of(places: Places, what: str, name: str) -> bytes:
    """Return this machine's request for a certificate; the key is made once and stays here."""
    from holdfast.runtime.authority import key_and_request

    directory = places.identity(what)
    kept = directory / "request.pem"
    if not kept.exists() or not (directory / "key.pem").exists():
        directory.mkdir(parents=True, exist_ok=True)
        key, request = key_and_request(name)
        write_secret(directory / "key.pem", key)
        kept.write_bytes(request)
    return kept.read_bytes()


# --- and away again


def leave(_store: str, values: Values) -> Answer:
    """Take this system out of its cluster: groups away, out of main.cf, out of etcd, keys destroyed."""
    places = _places(values)
    standing = known_standing(places)
    if standing is None:
        raise Refused(Refusal("no-standing", "this machine is in no cluster", "holdfast cluster join makes it one"))
    url, system = places.store_url(standing), standing.system
    others = tuple(one for one in standing.members if one != standing.address)
    admitted = (places.identity("system") / "cert.pem").exists()
    if admitted and standing.etcd and not others and not values.get("force"):
        reason = f"{system} is the last system: its data is the cluster's only copy"
        raise Refused(Refusal("last-system", reason, "to destroy the cluster: holdfast cluster leave --force"))
    if standing.founder and others and not values.get("force"):
        reason = f"{system} holds the cluster's authority; without it nobody can join any more"
        raise Refused(Refusal("holds-authority", reason, f"keep a copy of {places.authority}, then use --force"))
    services = HostServices(places)
    if admitted and (others or standing.store):
        _withdraw(url, system, float(values.get("wait") or 120.0), services)
    services.stop_beside(_ENROLLER)
    for unit in (SYSTEM, ETCD):
        if unit == ETCD and admitted and standing.etcd and others:
            etcd_of(places, others).remove(standing.peer_url)
        if (places.units / unit).exists():
            services.stop(unit)
    _forget(places)
    return Answer({"cluster": standing.cluster, "system": system}, f"{system} has left cluster {standing.cluster}")


def _withdraw(url: str, system: str, wait_s: float, services: HostServices) -> None:
    """Let others take the groups, then stop here and strike the system from main.cf. Raises ``Refused`` for a group
    that knows no other system, before anything is done."""
    state = read_state(url)
    configuration = configuration_of(state)
    if system not in configuration.systems:
        return
    groups = [name for name, group in configuration.groups.items() if system in group.priorities]
    alone = [name for name in groups if len(configuration.groups[name].priorities) == 1]
    if alone:
        remedy = f"holdfast group remove {alone[0]}, or give it another system in its SystemList"
        raise Refused(Refusal("only-system", f"group {alone[0]} has no other system than {system}", remedy))
    if state.judged.get(system) == Life.ALIVE.value:
        submit(url, Request("", "system.stop", system=system, options={"evacuate": "1"}), wait_s)
        _until(lambda: not any(_kept(one, system) for one in read_state(url).intents.values()), wait_s, system)
    services.stop(SYSTEM)
    with_store(url, lambda store, by: edited(store, by, _struck(system, groups), f"{system} leaves"))


def _kept(intent: Intent, system: str) -> bool:
    return intent.owner == system and intent.wanted is Wanted.ONLINE


def _struck(system: str, groups: list[str]) -> Callable[[Draft], None]:
    def work(draft: Draft) -> None:
        for name in groups:
            for attribute in ("SystemList", "AutoStartList", "SystemZones"):
                assigned = [one for one in draft.block("group", name).assignments if one.name == attribute]
                if any(system in _keys(one.value) for one in assigned):
                    draft.modify("group", name, attribute, Change("delete", (system,)))
        draft.delete("system", system)

    return work


def _keys(value: object) -> list[str]:
    parts = value if isinstance(value, tuple) else getattr(value, "words", ())
    return [str(getattr(part, "key", part)) for part in parts]


def _until(check: Callable[[], bool], wait_s: float, system: str) -> None:
    end = time.monotonic() + wait_s
    while not check():
        if time.monotonic() > end:
            reason = f"groups are still on {system} after {wait_s:.0f} s"
            raise Refused(Refusal("not-evacuated", reason, "see why: holdfast cluster state; then ask again"))
        time.sleep(0.2)


def _forget(places: Places) -> None:
    """Destroy keys, tokens and data; the standing goes last, so that a break is found."""
    for directory in (places.etc / "tls", places.authority, places.etcd_data, places.run):
        shutil.rmtree(directory, ignore_errors=True)
    for file in (places.tokens, places.system_toml, places.etcd_env, places.units / ETCD, places.units / SYSTEM):
        file.unlink(missing_ok=True)
    places.standing.unlink(missing_ok=True)
