"""dscli driven as OpenSVC drives it: no command on its command line, commands on standard input, prompts stripped.

What it prints is read as ``ds8000`` reads it, with the delimiter that ``setenv`` leaves. Text on standard error is a
failure, as is any message of severity E.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.kernel.errors import HoldfastError, Unavailable
from holdfast.replication.drivers.ds8000 import PROMPT, ExitKind, parse
from holdfast.replication.model.syncset import FlashFact, SyncSet
from holdfast.replication.model.zones import epoch_of

DELIMITER = ","
_OUTPUT_CHARACTERS = 4 * 1024 * 1024
_QUOTED_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Said:
    """What one run printed, without the prompts."""

    stdout: str
    stderr: str
    code: int

    @property
    def failed(self) -> bool:
        """Whether anything went wrong."""
        return bool(self.trouble)

    @property
    def trouble(self) -> str:
        """What went wrong, for people; empty if nothing did."""
        output = parse(self.stdout, self.stderr, self.code, DELIMITER)
        texts = [f"{one.id} {one.verb}: {one.text}" if one.id else one.text for one in output.failures]
        if not texts and output.ended is not ExitKind.DONE:
            texts = [f"exit code {self.code}"]
        return "; ".join(texts)[:_QUOTED_CHARACTERS]


def flash_query(wanted: SyncSet) -> str:
    """Return the commands that ask for the pairs of a set."""
    pairs = " ".join(wanted.pairs)
    return f"setenv -banner off -header on -format delim\nlsflash -l -dev {wanted.array} {pairs}"


def resync_commands(wanted: SyncSet, facts: Mapping[str, FlashFact]) -> tuple[str, ...]:
    """Return the commands of a resync, in their order; all pairs go into one, so they get one point in time.

    Those with space efficient targets too: ``-tgtse`` permits such targets, it does not demand them.
    """
    options = ["-persist", *(["-record"] if wanted.recording else []), "-cp" if wanted.bgcopy else "-nocp"]
    if any(facts[pair].thin_target for pair in wanted.pairs if pair in facts):
        options.append("-tgtse")
    if wanted.freeze:
        options.append("-freeze")
    words = [*options, *wanted.pairs]
    if wanted.recording:
        commands = [_command("resyncflash", wanted, words)]
    else:
        commands = [_command("rmflash", wanted, ["-quiet", *wanted.pairs]), _command("mkflash", wanted, words)]
    if wanted.freeze:
        commands.append(_command("unfreezeflash", wanted, sorted({pair[:2] for pair in wanted.pairs})))
    return tuple(commands)


def _command(verb: str, wanted: SyncSet, words: Sequence[str]) -> str:
    return " ".join((verb, "-dev", wanted.array, *words))


def flash_facts(stdout: str, own_zones: Mapping[str, int]) -> dict[str, FlashFact]:
    """Return the pairs in the answer to :func:`flash_query`. Raises ``HoldfastError`` for an answer that is none."""
    output = parse(stdout, "", 0, DELIMITER)
    if not output.rows and not output.messages:
        quoted = stdout.strip()[:_QUOTED_CHARACTERS]
        raise HoldfastError(f"lsflash printed no table: {quoted!r}", "run it by hand and see what it says")
    facts = {}
    for row in output.rows:
        pair = ":".join(part.rsplit("/", 1)[-1] for part in row.get("ID", "").split(":"))
        facts[pair] = FlashFact(
            pair,
            row.get("Recording") == "Enabled",
            row.get("Persistent") == "Enabled",
            row.get("State", ""),
            row.get("isTgtSE") == "ESE",
            epoch_of(row.get("DateSynced", ""), own_zones),
        )
    return facts


def own_zones() -> dict[str, int]:
    """Return the zone names of this system, with minutes east of UTC."""
    zones = {time.tzname[0]: -time.timezone // 60}
    if time.daylight:
        zones[time.tzname[1]] = -time.altzone // 60
    return zones


def run_lines(argv: Sequence[str], lines: str, limit_s: float) -> Said:
    """Run dscli with ``lines`` on its standard input. Raises ``Unavailable`` when it does not end in ``limit_s``
    seconds (it and all it started are killed), ``HoldfastError`` when it cannot be run."""
    program = Path(argv[0])
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace", start_new_session=True
        )
    except OSError as error:
        remedy = "install dscli there; for the software array: holdfast dialect install --into " + str(program.parent)
        raise HoldfastError(f"{program} cannot be run: {error.strerror}", remedy) from error
    try:
        stdout, stderr = process.communicate(lines + "\n", limit_s)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"dscli did not end within {limit_s:.0f} s", "see whether the console answers") from error
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    stdout = stdout[:_OUTPUT_CHARACTERS].replace(PROMPT, "")
    return Said(stdout, stderr, process.returncode)
