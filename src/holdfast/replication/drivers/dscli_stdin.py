"""dscli driven as OpenSVC drives it: no command on its command line, commands on standard input, prompts stripped.

What it prints is read as ``ds8000`` reads it, with the delimiter that ``setenv`` leaves. Text on standard error is a
failure, as is any message of severity E.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from holdfast.kernel.errors import Refused
from holdfast.replication.drivers.dscli_answer import COLUMNS, PROMPT, ExitKind, insist_on_list, parse, unreadable
from holdfast.replication.drivers.dscli_process import Said, Turn, run
from holdfast.replication.model.syncset import FlashFact, SyncSet
from holdfast.replication.model.zones import epoch_of

DELIMITER = ","
_QUOTED_CHARACTERS = 400


def trouble_of(said: Said) -> str:
    """Return what went wrong in a run, for people; empty if nothing did."""
    output = parse(said.stdout, said.stderr, said.code, DELIMITER)
    texts = [f"{one.id} {one.verb}: {one.text}" if one.id else one.text for one in output.failures]
    if not texts and output.ended is not ExitKind.DONE:
        texts = [f"exit code {said.code}"]
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
    """Return the pairs in the answer to :func:`flash_query`. Raises ``Refused`` for an answer that is none."""
    output = parse(stdout, "", 0, DELIMITER, COLUMNS["lsflash", True])
    try:
        output = insist_on_list(output, ["lsflash"])
    except Refused as error:
        raise unreadable(f"{error.message}: {stdout.strip()[:_QUOTED_CHARACTERS]!r}") from error
    facts = {}
    for row in output.rows:
        pair = row["ID"]
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


def run_lines(argv: Sequence[str], lines: str, limit_s: float, array: str) -> Said:
    """Run dscli with ``lines`` on its standard input, when it is this process's turn to talk to ``array``.

    Raises ``Unavailable`` when it does not end in ``limit_s`` seconds (it and all it started are killed) or the turn
    does not come, ``Refused`` when it is missing, floods or asks for a log-in.
    """
    words = list(argv)
    console = words[words.index("-hmc1") + 1] if "-hmc1" in words[:-1] else ""
    with Turn(array, console).held(limit_s):
        said = run(words, limit_s, lines + "\n")
    parse(said.stdout, said.stderr, said.code, DELIMITER)  # refuses what is no answer
    return Said(said.stdout.replace(PROMPT, ""), said.stderr, said.code)
