"""dscli driven as OpenSVC drives it: no command on its command line, commands on standard input, prompts stripped.

Any text on standard error is a failure, as is any message of severity E. A table begins with a header, a ruler of ``=``
follows, and a row that is shorter than the header is refused: the separator inside a field is not escaped.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.kernel.errors import HoldfastError, Unavailable
from holdfast.replication.model.syncset import FlashFact, SyncSet
from holdfast.replication.model.zones import epoch_of

_FAILED = re.compile(r"^CMU[A-Z]\d{5}E\b", re.MULTILINE)
_NOTHING = "CMUC00234I"
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
        return bool(self.code or self.stderr.strip() or _FAILED.search(self.stdout))

    @property
    def trouble(self) -> str:
        """What went wrong, for people."""
        lines = [line for line in self.stdout.splitlines() if _FAILED.match(line)]
        text = self.stderr.strip() or "; ".join(lines) or f"exit code {self.code}"
        return text[:_QUOTED_CHARACTERS]


def flash_query(wanted: SyncSet) -> str:
    """Return the commands that ask for the pairs of a set."""
    pairs = " ".join(wanted.pairs)
    return f"setenv -banner off -header on -format delim\nlsflash -l -dev {wanted.array} {pairs}"


def flash_facts(stdout: str, own_zones: Mapping[str, int]) -> dict[str, FlashFact]:
    """Return the pairs in the answer to :func:`flash_query`. Raises ``HoldfastError`` for an answer that is none."""
    if _NOTHING in stdout:
        return {}
    lines = [line.strip() for line in stdout.splitlines()]
    ruler = next((at for at, line in enumerate(lines) if len(line) > 3 and set(line) == {"="}), 0)
    if not ruler:
        quoted = stdout.strip()[:_QUOTED_CHARACTERS]
        raise HoldfastError(f"lsflash printed no table: {quoted!r}", "run it by hand and see what it says")
    header = lines[ruler - 1].split(",")
    facts = {}
    for line in lines[ruler + 1 :]:
        cells = line.split(",")
        if len(cells) < 2:
            continue
        if len(cells) < len(header):
            raise HoldfastError(f"lsflash printed a row with {len(cells)} of {len(header)} fields: {line!r}")
        row = dict(zip(header, cells, strict=False))
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
    stdout = stdout[:_OUTPUT_CHARACTERS].replace("dscli>", "")
    return Said(stdout, stderr, process.returncode)
