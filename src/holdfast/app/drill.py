"""``holdfast drill``: builds the lab, runs continuity's drill in it, prints what happened.

The command runs twice: outside it supervises and cleans up (``lab.supervisor``), inside it drills.
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

import click
import msgspec

from holdfast.cli.frame import EXIT_FAILED
from holdfast.continuity.model.report import Failure, Report
from holdfast.continuity.service.drill.runner import STEPS, run_drill
from holdfast.continuity.service.drill.stage import Stage
from holdfast.kernel.errors import InputError
from holdfast.lab import sabotage
from holdfast.lab.narrate import LiveNarrator, SilentNarrator, print_report
from holdfast.lab.sites import LabSites
from holdfast.lab.supervisor import REPORT, supervise

EXIT_INTERRUPTED = 130
SKIPPED_WITHOUT_ROOT = (
    "namespaces: hosts are marked processes on loopback addresses",
    "block devices and mounts: the ledger writes to a raw volume",
    "the group's address: each system answers on its own",
    "backup from a mounted flash copy: a plain directory is backed up",
    "packet loss: cut lines are killed relays",
)
PROGRAMS = ("nsenter", "setpriv", "ip", "nbdfuse", "fusermount3", "losetup", "mkfs.ext4", "rsync")

_HELP = """Show every part of Holdfast at work on two sites on this machine, and check each claim.

As root the sites are namespaces with real mounts; as an ordinary user they are plain processes on loopback.

\b
Examples:
  holdfast drill                 the whole drill, live
  holdfast drill --json          one JSON object and nothing else
  holdfast drill --until switch --keep    stop after a step and leave the lab up
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

    @property
    def root(self) -> bool:
        """Whether the drill runs with namespaces."""
        return self.mode == "root" or (self.mode == "auto" and os.geteuid() == 0)

    def words(self) -> list[str]:
        """Return the options as the inner drill gets them."""
        words = ["--mode", "root" if self.root else "user", "--seed", str(self.seed)]
        words += ["--json"] * self.as_json + ["--keep"] * self.keep + ["--verbose"] * self.verbose
        words += ["--until", self.until] if self.until else []
        return [*words, *(["--sabotage", self.broken] if self.broken else [])]


def drill_command() -> click.Command:
    """Return the command ``holdfast drill``."""

    @click.command("drill", help=_HELP)
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
    @click.option(
        "--until", type=click.Choice([step.name for step in STEPS]), default=None, help="Stop after this step."
    )
    @click.option("--keep", is_flag=True, help="Leave the lab up until Ctrl-C, and print how to talk to it.")
    @click.option("--verbose", is_flag=True, help="Print each command line, and the document that prints it.")
    @click.option("--mode", type=click.Choice(["auto", "root", "user"]), default="auto", show_default=True)
    @click.option("--store", type=click.Choice(["embedded"]), default="embedded", show_default=True)
    @click.option("--seed", type=int, default=0, help="Repeat a drill's random choices.")
    @click.option("--sabotage", "broken", type=click.Choice(sorted(sabotage.WAYS)), help="Break one part; must fail.")
    @click.option("--inside", type=click.Path(path_type=Path), hidden=True)
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
    ) -> int:
        chosen = seed or random.SystemRandom().randrange(1, 2**31)
        options = Options(as_json, until or "", keep, verbose, mode, chosen, broken or "")
        return _outside(options) if inside is None else _inside(inside, options)

    return drill


def _outside(options: Options) -> int:
    _require_programs(options.root)
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
    narrator = SilentNarrator() if options.as_json else LiveNarrator(len(STEPS), options.verbose)
    report = Report(mode="root" if options.root else "user", seed=options.seed)
    if not options.root:
        report.skipped = list(SKIPPED_WITHOUT_ROOT)
    sites = sabotage.sites(options.broken, directory, options.root, options.seed)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    try:
        run_drill(Stage(sites, narrator, report), options.until)
        if options.keep:
            narrator.close()
            _hold(sites)
    except KeyboardInterrupt:
        report.verdict = "fail"
        report.failure = report.failure or Failure("drill", "the drill to run to its end", "it was interrupted")
    finally:
        narrator.close()
        (directory / REPORT).write_bytes(msgspec.json.encode(report))
        sites.close()
    return 0 if report.verdict == "pass" else EXIT_FAILED


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _hold(sites: LabSites) -> None:
    sys.stderr.write("the lab is up; Ctrl-C takes it down. To talk to it, from another terminal:\n")
    sys.stderr.writelines(f"  {line}\n" for line in sites.how_to_talk())
    sys.stderr.flush()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            signal.pause()


def _require_programs(root: bool) -> None:
    missing = [name for name in PROGRAMS if shutil.which(name) is None] if root else []
    if missing:
        raise InputError(
            f"the drill as root needs {', '.join(missing)}",
            remedy="apt-get install -y libnbd-bin fuse3 rsync e2fsprogs iproute2, or run it with --mode user",
        )
