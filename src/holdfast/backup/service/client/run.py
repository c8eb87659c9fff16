"""What `backup incremental` and `dsmc incremental` have in common: from options to sources to figures.

A filespace keeps its name wherever its tree is mounted at the moment (``--snapshotroot /VCS=/mnt/copy``), so a backup
from a point-in-time copy continues the history of the original, rules and all.
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from holdfast.backup.plan.domain import MountFact, local_filespaces, resolve
from holdfast.backup.service.client.incremental import Figures, Incremental, Say, Source
from holdfast.backup.service.client.login import Login
from holdfast.backup.service.client.options import ClientOptions
from holdfast.backup.service.client.telling import tell_stored
from holdfast.backup.service.connection import Session
from holdfast.kernel.errors import InputError

_AT_ONCE = 10
ROOTS_VARIABLE = "HOLDFAST_ALL_LOCAL_ROOTS"
_ESCAPES = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


Begun = Callable[[str, Figures], None]
"""Hears that a filespace is being backed up, and gets its figures as they rise."""


@dataclass(slots=True)
class RunFigures:
    """The figures of a whole run and of each filespace, in the order they were processed."""

    total: Figures = field(default_factory=Figures)
    filespaces: dict[str, Figures] = field(default_factory=dict)


def mounts(path: Path = Path("/proc/self/mountinfo")) -> list[MountFact]:
    """Return the file systems that this process sees mounted."""
    found = []
    for line in path.read_text("utf-8", "surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        name = before.split()[4]
        for code, letter in _ESCAPES.items():
            name = name.replace(code, letter)
        found.append(MountFact(name, after.split()[0]))
    return found


def sources(options: ClientOptions, names: Sequence[str], roots: Mapping[str, str]) -> list[Source]:
    """Return what to back up: the named filespaces, or the domain. Raises ``InputError`` for one that is not there."""
    mounted = mounts()
    types = {mount.path: mount.type.upper() for mount in mounted}
    limits = [root for line in options.lists.get("ALLLOCALROOT", []) for root in line.split()]
    limits = limits or [root for root in os.environ.get(ROOTS_VARIABLE, "").split(":") if root]
    local = local_filespaces(mounted, limits)
    chosen = [name.rstrip("/") or "/" for name in names] or resolve(options.lists.get("DOMAIN", []), local)
    if not chosen:
        raise InputError("ANS1149E no domain is available for incremental backup", remedy="name a filespace")
    found = []
    for name in chosen:
        root = roots.get(name, name)
        if not os.path.isdir(root):
            raise InputError(
                f"ANS1071E Invalid domain name entered: '{name}' ({root} is no directory)", remedy="mount it"
            )
        found.append(Source(name, root, types.get(root, "DIRECTORY")))
    return found


def run_incremental(
    options: ClientOptions,
    login: Login,
    names: Sequence[str],
    roots: Mapping[str, str],
    say: Say | None,
    begun: Begun | None = None,
) -> RunFigures:
    """Back up every source. Raises ``InputError`` before anything is done."""
    with login.open() as session:
        options = options.under(session.welcome.options)
        chosen = sources(options, names, roots)
        return run_session(session, options, chosen, say, login.open, begun)


def run_session(
    session: Session,
    options: ClientOptions,
    chosen: Sequence[Source],
    say: Say | None,
    another: Callable[[], Session] | None = None,
    begun: Begun | None = None,
) -> RunFigures:
    """Back up sources within an open session; with RESOURCEUTILIZATION several at a time, each in one of ``another``.

    A filespace is never divided, so what is linked within it stays one file. When one fails as a whole, those under way
    are brought to their end and then the failure is raised. ``begun`` hears of each and of its rising figures.
    """
    options = options.under(session.welcome.options)
    rules = options.rules()
    figures = RunFigures()
    included = []
    for source in chosen:
        if rules.filespace(source.filespace).included:
            included.append(source)
        else:
            figures.total.warnings.append(f"ANS1696W Filespace '{source.filespace}' is excluded from backup.")
    started = time.monotonic()
    for source, done in zip(included, _run_all(session, options, included, say, another, begun), strict=True):
        figures.filespaces[source.filespace] = done
        figures.total.add(done)
    figures.total.seconds = round(time.monotonic() - started, 3)
    write_error_log(options, figures.total)
    tell_stored(session, figures.total)
    return figures


def _run_all(
    session: Session,
    options: ClientOptions,
    chosen: Sequence[Source],
    say: Say | None,
    another: Callable[[], Session] | None,
    begun: Begun | None,
) -> list[Figures]:
    """Back up filespaces and return their figures, in order."""
    at_once = min(_at_once(options), len(chosen))
    if another is None or at_once < 2:
        return [_run_one(session, options, source, say, begun) for source in chosen]

    def apart(source: Source) -> Figures:
        with another() as own:
            return _run_one(own, options, source, say, begun)

    with ThreadPoolExecutor(at_once, thread_name_prefix="filespace") as pool:
        return [one.result() for one in [pool.submit(apart, source) for source in chosen]]


def _at_once(options: ClientOptions) -> int:
    text = options.get("RESOURCEUTILIZATION", "1") or "1"
    if not text.isdigit() or not 1 <= int(text) <= _AT_ONCE:
        raise InputError(f"RESOURCEUTILIZATION: {text} is not a number from 1 to {_AT_ONCE}", remedy="leave it out: 1")
    return int(text)


def _run_one(session: Session, options: ClientOptions, source: Source, say: Say | None, begun: Begun | None) -> Figures:
    _tell(say, f"Incremental backup of volume '{source.filespace}'")
    tries = max(int(options.get("CHANGINGRETRIES", "4") or 4), 1)
    kept = inventory_path(options, session, source.filespace)
    absolute = options.get("ABSOLUTE") == "yes"
    run = Incremental(session, source, options.rules(), say, tries, kept, absolute=absolute)
    if begun is not None:
        begun(source.filespace, run.figures)
    done = run.run()
    if done.objects_failed:
        text = f"ANS1802E Incremental backup of '{source.filespace}' finished with {done.objects_failed} failure(s)"
        done.failures.append(text)
    else:
        _tell(say, f"Successful incremental backup of '{source.filespace}'")
    return done


def inventory_path(options: ClientOptions, session: Session, filespace: str) -> Path:
    """Return where the inventory file of a filespace lies: in INVENTORYDIR, or where caches are kept."""
    directory = Path(options.get("INVENTORYDIR") or _cache() / "inventories")
    digest = blake3(f"{session.welcome.server}\0{session.node}\0{filespace}".encode()).hexdigest(16)
    return directory / digest


def _cache() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if chosen.startswith("/"):
        return Path(chosen) / "holdfast"
    return Path("/var/cache/holdfast") if os.geteuid() == 0 else Path.home() / ".cache" / "holdfast"


def _tell(say: Say | None, line: str) -> None:
    if say is not None:
        say(line)


def write_error_log(options: ClientOptions, figures: Figures) -> None:
    """Append what failed to ERRORLOGNAME, dated."""
    name = options.get("ERRORLOGNAME")
    if not name or not (figures.failures or figures.warnings):
        return
    now = datetime.datetime.now().strftime("%m/%d/%Y %H:%M:%S")
    try:
        with open(name, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(f"{now} {text}\n" for text in (*figures.warnings, *figures.failures))
    except OSError as error:
        raise InputError(
            f"ERRORLOGNAME cannot be written: {error.strerror}", file=name, remedy="create its directory"
        ) from error


def point_in_time(date: str, time: str) -> int | None:
    """Return nanoseconds for ``-pitdate``/``-pittime``; None without a date.

    The date is ISO (``2026-11-20``, with or without a time and offset) or ``mm/dd/yyyy``; the time may have fractions.
    Without a time it is the end of that day.
    """
    if not date:
        return None
    text = date
    if "/" in date:
        month, day, year = [*date.split("/"), "", ""][:3]
        text = f"{year}-{month}-{day}"
    if "T" not in text:
        text = f"{text}T{time or '23:59:59.999999'}"
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{date} {time} is no point in time", remedy="write 2026-11-20 and 13:45:10.250") from error
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1_000_000_000 + moment.microsecond * 1_000 + 999
