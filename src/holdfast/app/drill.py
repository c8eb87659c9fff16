"""``holdfast drill``: builds the lab, runs continuity's drill in it, prints what happened.

The command runs twice: outside it supervises and cleans up (``lab.supervisor``), inside it drills.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
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

PROGRAMS = ("nsenter", "setpriv", "ip", "nbdfuse", "fusermount3", "losetup", "mkfs.ext4", "rsync")

_HELP = """Show every part of Holdfast at work on two sites on this machine, and check each claim.

As root the sites are namespaces with real mounts; as an ordinary user they are plain processes on loopback.

\b
Examples:
  holdfast drill                 the whole drill, live
  holdfast drill --json          one JSON object and nothing else
  holdfast drill --until switch --keep    stop after a step and leave the lab up
"""


def drill_command() -> click.Command:
    """Return the command ``holdfast drill``."""

    @click.command("drill", help=_HELP)
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
    @click.option("--until", type=click.Choice([step.name for step in STEPS]), help="Stop after this step.")
    @click.option("--keep", is_flag=True, help="Leave the lab up until Ctrl-C, and print how to talk to it.")
    @click.option("--verbose", is_flag=True, help="Print each command line, and the document that prints it.")
    @click.option("--mode", type=click.Choice(["auto", "root", "user"]), default="auto", show_default=True)
    @click.option("--store", type=click.Choice(["embedded"]), default="embedded", show_default=True)
    @click.option("--seed", type=int, default=0, help="Repeat a drill's random choices.")
    @click.option("--sabotage", "broken", type=click.Choice(sorted(sabotage.WAYS)), help="Break one part; must fail.")
    @click.option("--inside", type=click.Path(path_type=Path), hidden=True)
    def drill(
        as_json: bool,
        until: str,
        keep: bool,
        verbose: bool,
        mode: str,
        store: str,
        seed: int,
        broken: str,
        inside: Path,
    ) -> int:
        root = mode == "root" or (mode == "auto" and os.geteuid() == 0)
        if inside:
            return _inside(inside, root, as_json, until or "", keep, verbose, seed, broken or "")
        _require_programs(root)
        flags = ["--json"] * as_json + ["--keep"] * keep + ["--verbose"] * verbose
        flags += [
            "--mode",
            "root" if root else "user",
            "--seed",
            str(seed or random.SystemRandom().randrange(1, 2**31)),
        ]
        flags += ["--until", until] if until else []
        flags += ["--sabotage", broken] if broken else []
        if not root and not as_json:
            click.echo(
                "user mode: plain processes on loopback, raw volumes; namespaces, mounts and addresses are skipped"
            )
        ended = supervise(flags, root, keep_files_on_failure=not broken)
        if as_json:
            click.echo(msgspec.json.encode(ended.report).decode())
        else:
            print_report(ended.report)
        if ended.interrupted:
            return 130
        return 0 if ended.report.verdict == "pass" else EXIT_FAILED

    return drill


def _inside(
    directory: Path, root: bool, as_json: bool, until: str, keep: bool, verbose: bool, seed: int, broken: str
) -> int:
    narrator = SilentNarrator() if as_json else LiveNarrator(len(STEPS), verbose)
    report = Report(mode="root" if root else "user", seed=seed)
    sites = LabSites(directory, root, sabotage.wrappers(broken))
    try:
        run_drill(Stage(sites, narrator, report), until)
        if keep:
            _hold(sites, narrator)
    except KeyboardInterrupt:
        report.verdict = "fail"
        report.failure = report.failure or Failure("drill", "the drill to run to its end", "it was interrupted")
    finally:
        narrator.close()
        (directory / REPORT).write_bytes(msgspec.json.encode(report))
        sites.close()
    return 0 if report.verdict == "pass" else EXIT_FAILED


def _hold(sites: LabSites, narrator: LiveNarrator | SilentNarrator) -> None:
    sys.stderr.write("the lab is up; Ctrl-C takes it down. To talk to it, for example:\n")
    for line in sites.how_to_talk():
        sys.stderr.write(f"  {line}\n")
    sys.stderr.flush()
    while sys.stdin.readable():
        try:
            os.read(0, 1) or _pause()
        except OSError:
            _pause()


def _pause() -> None:
    import signal

    signal.pause()


def _require_programs(root: bool) -> None:
    missing = [name for name in PROGRAMS if shutil.which(name) is None] if root else []
    if missing:
        raise InputError(
            f"the drill as root needs {', '.join(missing)}",
            remedy="apt-get install -y libnbd-bin fuse3 rsync e2fsprogs iproute2, or run it with --mode user",
        )
