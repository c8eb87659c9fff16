"""``hauser``: users of the cluster and their roles, as attributes of cluster and groups.

A password is asked for, or read from standard input when that is no terminal; it never stands among the arguments.
What is kept of it is a slow salted digest. A user of this machine, or of a certificate, needs none.
"""

from __future__ import annotations

import getpass
import sys

from holdfast.cluster.config.amend import Change
from holdfast.cluster.config.edit import Draft
from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.plan.privileges import ROLES, roles, users
from holdfast.dialects.vcs.session import Form, Session, UsageError, Words
from holdfast.kernel.errors import Refusal, Refused
from holdfast.runtime.password import digest

_HEADING = f"{'#User':<16} {'Privilege':<22} Object"


def _password() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Password (empty: none): ")
    return sys.stdin.readline().rstrip("\n")


def _named(words: Words) -> str:
    if not words.plain:
        raise UsageError(f"-{words.form} USER")
    return words.plain[0]


def _role(words: Words, place: int) -> tuple[str, tuple[str, ...]]:
    """The role that a command names, and the groups it is for."""
    named = (*words.every("priv"), *words.plain[place:])
    role, groups = (named[0] if named else ""), words.every("group")
    if role not in (*ROLES, "Guest"):
        raise UsageError(f"a privilege is one of {' '.join(ROLES)} Guest, not {role!r}")
    if role.endswith("Group") and not groups:
        raise UsageError(f"{role} needs -group GROUP ..")
    return role, groups


def _give(draft: Draft, user: str, role: str, groups: tuple[str, ...], how: str) -> None:
    if role == "Guest":
        return
    change = Change(how, (user,))
    for group in groups:
        draft.modify("group", group, ROLES[role], change)
    if not groups:
        draft.modify_cluster(ROLES[role], change)


def _open(session: Session) -> None:
    if not session.state.writable:
        raise Refused(Refusal("read-only", "", ""))


def _known(session: Session, words: Words) -> str:
    name = _named(words)
    if name not in users(session.configuration):
        raise Refused(Refusal("no-user", f"there is no user {name!r}", "hauser -list"))
    return name


def _add(session: Session, words: Words) -> None:
    name = _named(words)
    _open(session)
    if name in users(session.configuration):
        raise Refused(Refusal("user-exists", f"user {name!r} is there already", f"hauser -addpriv {name}"))
    role, groups = _role(words, 1) if words.has("priv") else ("Guest", ())
    kept = digest(_password())

    def work(draft: Draft) -> None:
        draft.modify_cluster("UserNames", Change("add", (name, kept)))
        _give(draft, name, role, groups, "add")

    session.wire.edit(work, False)


def _update(session: Session, words: Words) -> None:
    name = _known(session, words)
    _open(session)
    kept = digest(_password())
    session.wire.edit(lambda draft: draft.modify_cluster("UserNames", Change("update", (name, kept))), False)


def _delete(session: Session, words: Words) -> None:
    name = _known(session, words)
    _open(session)
    held = roles(session.configuration, name)

    def work(draft: Draft) -> None:
        draft.modify_cluster("UserNames", Change("delete", (name,)))
        for given, role in ((held.administrator, "Administrator"), (held.operator, "Operator")):
            if given:
                _give(draft, name, role, (), "delete")
        _give_all(draft, name, "AdministratorGroup", held.administers)
        _give_all(draft, name, "OperatorGroup", held.operates)

    session.wire.edit(work, False)


def _give_all(draft: Draft, user: str, role: str, groups: frozenset[str]) -> None:
    if groups:
        _give(draft, user, role, tuple(sorted(groups)), "delete")


def _privilege(how: str) -> Form:
    def run(session: Session, words: Words) -> None:
        name = _known(session, words)
        _open(session)
        role, groups = _role(words, 1)
        session.wire.edit(lambda draft: _give(draft, name, role, groups, how), False)

    return run


def _privileges(configuration: Configuration, user: str) -> list[tuple[str, str]]:
    held = roles(configuration, user)
    found = [(role, "cluster") for role, given in
             (("Administrator", held.administrator), ("Operator", held.operator)) if given]  # fmt: skip
    found += [("AdministratorGroup", group) for group in sorted(held.administers)]
    found += [("OperatorGroup", group) for group in sorted(held.operates)]
    return found or [("Guest", "cluster")]


def _display(session: Session, words: Words) -> list[str]:
    asked = [_known(session, words)] if words.plain else list(users(session.configuration))
    rows = [(user, *one) for user in asked for one in _privileges(session.configuration, user)]
    return [_HEADING, *(f"{user:<16} {role:<22} {about}" for user, role, about in rows)]


def _login(session: Session, words: Words) -> list[str]:
    if len(words.plain) < 2:
        raise UsageError("CLUSTER USER")
    cluster, user = words.plain[:2]
    if cluster != session.configuration.name:
        reason = f"this cluster is {session.configuration.name}, not {cluster!r}"
        raise Refused(Refusal("no-cluster", reason, "name the cluster you are in"))
    return [session.wire.login(user, _password())]


def _logout(session: Session, _words: Words) -> list[str]:
    return [session.wire.login("", "")]


LOGIN_FORMS: dict[str, Form] = {"": _login, "endallsessions": _logout}
"""Forms of ``halogin``."""

FORMS: dict[str, Form] = {
    "add": _add,
    "addpriv": _privilege("add"),
    "delpriv": _privilege("delete"),
    "update": _update,
    "delete": _delete,
    "display": _display,
    "list": lambda session, _words: list(users(session.configuration)),
}
"""Forms of ``hauser``."""
