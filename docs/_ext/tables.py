"""Writes the reference pages from the tables that the program itself goes by, so that they cannot disagree with it.

Runs when Sphinx starts. Each page is one function here: it takes nothing and returns Markdown. A page is written only
when its text has changed, so that Sphinx rebuilds no more than it must. The pages are not kept in the repository.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from holdfast.app.main import DIALECTS, NOUNS, native_root
from holdfast.backup.model.clientmessages import TEXTS as CLIENT_TEXTS
from holdfast.backup.model.messages import TEXTS
from holdfast.backup.operations import OPERATIONS as BACKUP
from holdfast.cli.conventions import BACKUP_EXIT_CODES, ENVIRONMENT, EXIT_CODES, SERVER_EXIT
from holdfast.cli.tree import Node, examples_of, walk
from holdfast.cluster.model import attributes
from holdfast.cluster.model.attributes import AttributeDef, Value
from holdfast.cluster.operations import OPERATIONS as CLUSTER
from holdfast.cluster.plan.triggers import TRIGGERS
from holdfast.replication.model.flash import FLASH_TRANSITIONS, FlashEvent, FlashState
from holdfast.replication.model.pairs import TRANSITIONS, PairEvent, Phase, Reason, Role, Standing
from holdfast.replication.operations import COMMON, VERBS
from holdfast.replication.operations import OPERATIONS as REPLICATION

GENERATED = "% Generated from the program's tables at each build; do not edit.\n\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def code(text: str) -> str:
    """Return text as inline code; nothing for nothing."""
    return f"`{text}`" if text else ""


def operations() -> str:
    """Every native command, from the tree that ``--help`` shows."""
    root = native_root()
    context = click.Context(root, info_name="holdfast", **root.context_settings)
    parts = [
        "# Commands\n\nWith `--json` a command prints one document on standard output and nothing else. When it fails, "
        'that document is `{"error": {"id", "text", "remedy", "exit_code"}}`, with `file`, `line` and `column` '
        "where input is wrong. People are told on standard error in either case.\n",
        table(("noun", "what it is about"), [(code(noun), text) for noun, (_, text) in NOUNS.items()]),
        "Dialect commands, linked by `holdfast dialect install --into DIR`: "
        + ", ".join(code(name) for name in DIALECTS)
        + ".\n",
        "## Exit codes\n",
        table(("code", "meaning"), [(str(number), text) for number, text in sorted(EXIT_CODES + BACKUP_EXIT_CODES)]),
        f"{SERVER_EXIT}\n",
        "## Environment\n",
        table(("variable", "meaning"), [(code(name), text) for name, text in ENVIRONMENT]),
    ]
    looks = {one.name for one in (*CLUSTER, *REPLICATION, *BACKUP) if not one.changes}
    noun = ""
    for node in walk(root, context, ("holdfast",)):
        if not node.is_group:
            if node.words[1] != noun:
                noun = node.words[1]
                parts.append(f"## {noun}\n")
            parts.append(_command(node, " ".join(node.words[1:]) in looks))
    return "\n".join(parts)


def _command(node: Node, only_looks: bool) -> str:
    words = " ".join(node.words)
    about = re.sub(r"\s*\n(?!\n)", " ", (node.command.help or "").replace("\n\n", "\0")).replace("\0", "\n\n")
    usage = " ".join((words, *node.command.collect_usage_pieces(node.context)))
    text = f"### {words}\n\n{about}{' (Only looks.)' if only_looks else ''}\n\n```\n{usage}\n```\n"
    records = [param.get_help_record(node.context) for param in node.command.params if isinstance(param, click.Option)]
    text += "\n" + table(("option", "meaning"), [(code(found[0]), found[1]) for found in records if found])
    examples = examples_of(node.command)
    return text + ("\n```\n" + "\n".join(examples) + "\n```\n" if examples else "")


def attribute_defaults() -> str:
    """The attributes that main.cf may set, with the defaults the engine goes by."""
    sections = (
        ("Clusters", attributes.CLUSTER_ATTRIBUTES),
        ("Systems", attributes.SYSTEM_ATTRIBUTES),
        ("Service groups", attributes.GROUP_ATTRIBUTES),
        ("Resources", attributes.RESOURCE_ATTRIBUTES),
        ("Static attributes of every type", attributes.TYPE_ATTRIBUTES),
    )
    text = "# Attributes and their defaults\n\nA type file or an override in main.cf changes a static attribute.\n"
    return text + "".join(f"\n## {title}\n\n{_attributes(found)}" for title, found in sections)


def _attributes(found: Mapping[str, AttributeDef]) -> str:
    rows = [(code(one.name), one.kind.value, one.dimension.value, code(_shown(one.default))) for one in found.values()]
    return table(("attribute", "kind", "dimension", "default"), rows)


def _shown(value: Value) -> str:
    if isinstance(value, str | int):
        return str(value)
    return " ".join(value)


def pair_states() -> str:
    """The states of a pair at one array: what each event makes of them."""
    starts = list(dict.fromkeys((role, phase) for role, phase, _ in TRANSITIONS))
    rows = [
        (f"**{Standing(role, phase).display}**", *(_next(role, phase, event) for event in PairEvent))
        for role, phase in starts
    ]
    events = [(code(event.name.lower()), event.value) for event in PairEvent]
    reasons = [(code(reason.value), reason.name.lower().replace("_", " ")) for reason in Reason]
    return "\n".join(
        (
            "# States of a Metro Mirror pair\n",
            "As one array sees the pair, in the words of `lspprc`. An empty cell: the event is refused there. Who may "
            "be source at all is not said by a state but by the pair's record in the store; see "
            "[evidence](../explanation/evidence.md).\n",
            table(("state", *(code(event.name.lower()) for event in PairEvent)), rows),
            "## Events\n",
            table(("event", "what happens"), events),
            "## Reasons\n",
            table(("shown", "name"), reasons),
        )
    )


def flash_states() -> str:
    """The states of a FlashCopy relation: what each event makes of them."""
    rows = [
        (f"**{state.value}**", *(_flash_next(state, event) for event in FlashEvent))
        for state in FlashState
        if any(start is state for start, _ in FLASH_TRANSITIONS)
    ]
    return "\n".join(
        (
            "# States of a FlashCopy\n",
            "An empty cell: the event is refused there. A relation that does not persist ends when everything is "
            "copied. What else forbids a command (a mirror, a cascade, a relation that does not record) is said with "
            "its refusal; see [the software array](../explanation/array.md).\n",
            table(("state", *(code(event.name.lower()) for event in FlashEvent)), rows),
            "## Events\n",
            table(("event", "what happens"), [(code(event.name.lower()), event.value) for event in FlashEvent]),
        )
    )


def _flash_next(state: FlashState, event: FlashEvent) -> str:
    after = FLASH_TRANSITIONS.get((state, event))
    return after.value if after is not None else ""


def array_verbs() -> str:
    """What can be asked of an array over its management service."""
    rows = [
        (code(name), verb.objects, ", ".join(code(option) for option in verb.options), "looks" if verb.query else "")
        for name, verb in VERBS.items()
    ]
    return (
        "# Verbs of an array\n\nThe requests that `dscli`, the native commands and programs send to an array's "
        "management service. Every verb takes "
        + " and ".join(code(option) for option in COMMON)
        + " besides its own options; an option that it does not take is refused. Sizes are in bytes.\n\n"
        + table(("verb", "objects", "options", ""), rows)
    )


def _next(role: Role, phase: Phase, event: PairEvent) -> str:
    after = TRANSITIONS.get((role, phase, event))
    if after is None:
        return ""
    return after.display if after.reason is Reason.NONE else f"{after.display}, {after.reason.value}"


def messages() -> str:
    """The backup server's messages by id."""
    severities = {"I": "information", "W": "warning", "E": "error"}
    rows = [
        (code(number), severities.get(number[-1], ""), re.sub(r"\{(\w+)\}", r"*\1*", text))
        for number, text in sorted({**TEXTS, **CLIENT_TEXTS}.items())
    ]
    return "# Messages of backup server and client\n\nIds are stable: programs may look for them.\n\n" + table(
        ("id", "severity", "text"), rows
    )


def triggers() -> str:
    """The site's own programs by trigger: when they run and what they are given."""
    rows = [(code(name), code(", ".join(one.arguments)), one.enabled.value) for name, one in TRIGGERS.items()]
    return (
        "# Triggers\n\nPrograms in the directory that the setting `triggers` of the system's file names; see "
        "[faults](../explanation/faults.md). What happens to a group's resources fires on the system where it happens; "
        "what happens to systems, and `nofailover`, fires on the one that coordinates.\n\n"
        + table(("trigger", "arguments", "runs"), rows)
        + "\n`PreOnline = 1` lists `preonline` too.\n"
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": operations,
    "attributes.md": attribute_defaults,
    "pair-states.md": pair_states,
    "flash-states.md": flash_states,
    "array-verbs.md": array_verbs,
    "messages.md": messages,
    "triggers.md": triggers,
}


def write(directory: Path) -> None:
    """Write every page that has changed into ``directory``."""
    directory.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        path, text = directory / name, GENERATED + page()
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Any) -> dict[str, bool]:
    """Sphinx's hook."""
    write(Path(app.srcdir) / "reference")
    return {"parallel_read_safe": True}
