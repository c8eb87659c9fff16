"""``holdfast drill``: builds the lab, runs continuity's drill in it, prints what happened.

The command runs twice: outside it supervises and cleans up (``lab.supervisor``), inside it drills. The parts that drill
are half of Holdfast, so they are imported when a drill runs; what ``--help`` must name stands here in two tuples, which
a test compares with the tables that they copy.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.cli.conventions import EXIT_FAILED, EXIT_INTERRUPTED
from holdfast.kernel.errors import InputError

if TYPE_CHECKING:
    from holdfast.lab.sites import LabSites

STEP_NAMES = (
    "boot", "protect", "snapshot", "backup", "vault", "switch", "disaster", "recover", "failback", "trouble",
)  # fmt: skip
"""The names of ``continuity.service.drill.runner.STEPS``."""

SABOTAGES = (
    "bit-dropped", "chunk-flipped", "difference-ignored", "evidence-skipped", "guard-asleep", "guard-late",
    "mirror-early",
)  # fmt: skip
"""The names of ``lab.sabotage.WAYS``."""

ROOT_SABOTAGES = ("guard-late",)
"""Those that only namespaces show: without them the services of an isolated system end with their connections."""

SKIPPED_WITHOUT_ROOT = (
    "namespaces: hosts are marked processes on loopback addresses",
    "block devices and mounts: the ledger writes to a raw volume",
    "the group's address: each system answers on its own",
    "backup from a mounted flash copy: a plain directory is backed up",
    "packet loss: cut lines are killed relays",
)
USER_PROGRAMS = ("setpriv", "rsync")
PROGRAMS = ("nsenter", "setpriv", "ip", "nbdfuse", "fusermount3", "losetup", "mkfs.ext4", "rsync")

_HELP = """Show every part of Holdfast at work on two sites on this machine, and check each claim.

As root the sites are namespaces with real mounts; as an ordinary user they are plain processes on loopback.

\b
Examples:
  holdfast drill                          # the whole drill, live
  holdfast drill --json                   # one JSON object and nothing else
  holdfast drill --until switch --keep    # stop after a step and leave the lab up
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    as_json: bool
    until: str
    keep: bool
    verbose: bool
    mode: str
    seed: int
    broken: str
    store: str

    @property
    def root(self) -> bool:
        """Whether the drill runs with namespaces."""
        return self.mode == "root" or (self.mode == "auto" and os.geteuid() == 0)

    def words(self) -> list[str]:
        """Return the options as the inner drill gets them."""
        words = ["--mode", "root" if self.root else "user", "--seed", str(self.seed), "--store", self.store]
        words += ["--silent"] * self.as_json + ["--keep"] * self.keep + ["--verbose"] * self.verbose
        words += ["--until", self.until] if self.until else []
        return [*words, *(["--sabotage", self.broken] if self.broken else [])]


def drill_command() -> click.Command:
    """Return the command ``holdfast drill``."""

    @click.command("drill", help=_HELP)
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
    @click.option("--until", type=click.Choice(STEP_NAMES), default=None, help="Stop after this step.")
    @click.option("--keep", is_flag=True, help="Leave the lab up until Ctrl-C, and print how to talk to it.")
    @click.option("--verbose", is_flag=True, help="Print each command line, and the document that prints it.")
    @click.option(
        "--mode", type=click.Choice(["auto", "root", "user"]), default="auto", help="auto is root when you are root."
    )
    @click.option(
        "--store",
        type=click.Choice(["embedded", "etcd"]),
        default="embedded",
        help="What keeps the cluster's state at the witness: a served SQLite file, or etcd.",
    )
    @click.option("--seed", type=int, default=0, help="Repeat a drill's random choices; 0 draws a new seed.")
    @click.option("--sabotage", "broken", type=click.Choice(SABOTAGES), help="Break one part; the drill must fail.")
    @click.option("--inside", type=click.Path(path_type=Path), hidden=True, help="Inside: the lab's directory.")
    @click.option("--silent", is_flag=True, hidden=True, help="Inside: standard output belongs to the one outside.")
    def drill(
        as_json: bool,
        until: str | None,
        keep: bool,
        verbose: bool,
        mode: str,
        store: str,
        seed: int,
        broken: str | None,
        inside: Path | None,
        silent: bool,
    ) -> int:
        chosen = seed or random.SystemRandom().randrange(1, 2**31)
        options = Options(as_json or silent, until or "", keep, verbose, mode, chosen, broken or "", store)
        return _outside(options) if inside is None else _inside(inside, options)

    return drill


def _outside(options: Options) -> int:
    import msgspec

    from holdfast.lab.narrate import print_report
    from holdfast.lab.supervisor import supervise

    _require_programs(options)
    if options.broken in ROOT_SABOTAGES and not options.root:
        raise InputError(f"--sabotage {options.broken} can only be shown as root", remedy="choose another, or be root")
    if not options.root and not options.as_json:
        click.echo("user mode: plain processes on loopback; namespaces, mounts and addresses are skipped")
    ended = supervise(options.words(), options.root, keep_files_on_failure=not options.broken)
    if options.as_json:
        click.echo(msgspec.json.encode(ended.report).decode())
    else:
        print_report(ended.report)
    if ended.interrupted:
        return EXIT_INTERRUPTED
    return 0 if ended.report.verdict == "pass" else EXIT_FAILED


def _inside(directory: Path, options: Options) -> int:
    import msgspec

    from holdfast.continuity.model.report import INTERRUPTED, Failure, Report
    from holdfast.continuity.service.drill.runner import STEPS, run_drill
    from holdfast.continuity.service.drill.stage import Stage
    from holdfast.lab import sabotage
    from holdfast.lab.narrate import LiveNarrator, SilentNarrator
    from holdfast.lab.supervisor import REPORT, SIGNALS

    narrator = SilentNarrator() if options.as_json else LiveNarrator(len(STEPS), options.verbose)
    report = Report(mode="root" if options.root else "user", seed=options.seed)
    if not options.root:
        report.skipped = list(SKIPPED_WITHOUT_ROOT)
    sites = sabotage.sites(options.broken, directory, options.root, options.seed, options.store)
    for number in SIGNALS:
        signal.signal(number, _interrupted)
    try:
        run_drill(Stage(sites, narrator, report), options.until)
        if options.keep:
            narrator.close()
            _hold(sites)
    except KeyboardInterrupt:
        report.verdict = "fail"
        report.failure = report.failure or Failure("drill", "the drill to run to its end", INTERRUPTED)
    finally:
        narrator.close()
        (directory / REPORT).write_bytes(msgspec.json.encode(report))
        sites.close()
    return 0 if report.verdict == "pass" else EXIT_FAILED


def _interrupted(_number: int, _frame: object) -> None:
    """End the drill once: a terminal sends Ctrl-C to every process of it, and the supervisor passes its own on."""
    from holdfast.lab.supervisor import SIGNALS

    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _hold(sites: LabSites) -> None:
    sys.stderr.write("the lab is up; Ctrl-C takes it down. To talk to it, from another terminal:\n")
    sys.stderr.writelines(f"  {line}\n" for line in sites.how_to_talk())
    sys.stderr.flush()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            signal.pause()


def _require_programs(options: Options) -> None:
    needed = PROGRAMS if options.root else USER_PROGRAMS
    missing = [name for name in (*needed, *["etcd"] * (options.store == "etcd")) if shutil.which(name) is None]
    if missing:
        raise InputError(
            f"the drill in {'root' if options.root else 'user'} mode needs {', '.join(missing)}",
            remedy="as root: apt-get install -y libnbd-bin fuse3 rsync e2fsprogs iproute2 util-linux etcd-server",
        )
