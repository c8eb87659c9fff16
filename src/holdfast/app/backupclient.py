"""The backup client's native commands beside incremental and restore: selective, archive, retrieve, diff, verify.

Each reads the option file, opens a session, and hands figures to the command that prints them. Nothing of the data path
is imported before a command runs.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from holdfast.app.backup import client

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from holdfast.backup.plan.comparison import Difference
    from holdfast.backup.service.client.verify import Place
    from holdfast.cli import backup as backup_cli
    from holdfast.cli import compare as compare_cli
    from holdfast.cli import restore as restore_cli


def dsmcad_main(_name: str, arguments: list[str]) -> int:
    """Run ``dsmcad`` under the name by which it was started."""
    from holdfast.dialects.tsm import dsmcad

    started = sys.argv[0] if os.path.basename(sys.argv[0]).startswith("dsmcad") else "dsmcad"
    return dsmcad.main(started, arguments)


def retrieve_command() -> click.Command:
    """Return ``holdfast retrieve``."""
    from holdfast.cli import restore as restore_cli

    return restore_cli.retrieve_command(_retrieve)


def diff_command() -> click.Command:
    """Return ``holdfast diff``."""
    from holdfast.cli import compare as compare_cli

    return compare_cli.diff_command(compare_cli.Wire(_diff, _verify))


def verify_command() -> click.Command:
    """Return ``holdfast verify``."""
    from holdfast.cli import compare as compare_cli

    return compare_cli.verify_command(compare_cli.Wire(_diff, _verify))


def named(request: backup_cli.Named, say: backup_cli.Say | None) -> tuple[dict[str, Any], int, list[str]]:
    """Back up or archive what is named."""
    from holdfast.backup.service.client.delivery import Terms
    from holdfast.backup.service.client.namedfiles import archiving, run_named, selective

    options, login = client(request.optfile, request.sysfile, request.node)
    terms = Terms(request.archive, request.description, request.mgmtclass)
    run = archiving(terms, request.delete_files) if request.archive else selective
    with login.open() as session:
        done = run_named(
            session,
            options,
            request.words,
            run,
            say,
            subdir=request.subdir,
            roots=request.roots,
            archive=request.archive,
        )
    return asdict(done), done.exit_code, [*done.errors, *done.warnings, *done.failures]


def _retrieve(request: restore_cli.RetrieveRequest) -> tuple[dict[str, Any], int, list[str]]:
    from holdfast.backup.model.clientmessages import text
    from holdfast.backup.plan.filespec import parse_spec
    from holdfast.backup.service.client.bringback import Landing, bring_back
    from holdfast.backup.service.client.choose import Choice, list_filespaces
    from holdfast.backup.session import messages as m

    with client(request.optfile, request.sysfile, request.node)[1].open() as session:
        if request.from_node:
            session.call(lambda seq: m.ActFor(seq, request.from_node))
        known = [row.name for row in list_filespaces(session)]
        choice = Choice((parse_spec(request.spec, known, request.subdir),), description=request.description)
        landing = Landing(request.destination, replace="all" if request.replace else "no")
        done = bring_back(session, choice, landing, archives=True)
    if done.objects or done.objects_left or done.objects_failed:
        return asdict(done), done.exit_code, done.failures
    return asdict(done), 12, [text("ANS1302E", spec=request.spec)]


def _place(filespace: str, under: str, root: Path | None) -> Place:
    from holdfast.backup.model.objects import key_of
    from holdfast.backup.service.client.verify import Place

    name = filespace.rstrip("/") or "/"
    return Place(name, key_of(os.fsencode(under)), str(root or name))


def _diff(request: compare_cli.DiffRequest) -> tuple[list[dict[str, Any]], list[str]]:
    from holdfast.backup.service.client.dates import moment
    from holdfast.backup.service.client.verify import differences, differences_from_disk
    from holdfast.kernel.errors import InputError

    if request.disk and request.after:
        raise InputError("--disk is the second side already", remedy="leave --to out")
    options, login = client(request.optfile, request.sysfile, request.node)
    place = _place(request.filespace, request.under, request.root)
    before, after = (moment(*_split(point)) for point in (request.before, request.after))
    problems: list[str] = []
    with login.open() as session:
        if request.disk:
            return _rows(differences_from_disk(session, place, before, options.rules(), problems), place), problems
        return _rows(differences(session, place, before, after), place), problems


def _split(point: str) -> tuple[str, str]:
    date, _, time = point.partition(" ")
    return date, time


def _rows(found: Iterable[Difference], place: Place) -> list[dict[str, Any]]:
    from holdfast.backup.model.objects import path_of, printable

    top = os.fsencode(place.filespace.rstrip("/"))
    return [
        {
            "path": printable(top + b"/" + path_of(one.key)),
            "change": one.change.value,
            "attributes": list(one.attributes),
        }
        for one in found
    ]


def _verify(request: compare_cli.VerifyRequest) -> tuple[dict[str, Any], int]:
    import random

    from holdfast.backup.service.client.verify import verify

    place = _place(request.filespace, request.under, request.root)
    with client(request.optfile, request.sysfile, request.node)[1].open() as session:
        done = verify(session, place, request.sample, random.Random(request.seed))
    return asdict(done), done.exit_code
