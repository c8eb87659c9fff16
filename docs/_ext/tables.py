"""Writes the reference pages from the tables that the program itself goes by, so that they cannot disagree with it.

Runs when Sphinx starts. Each page is one function here: it takes nothing and returns Markdown. A page is written only
when its text has changed, so that Sphinx rebuilds no more than it must. The pages are not kept in the repository.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.app.main import DIALECTS, NOUNS
from holdfast.backup.model.messages import TEXTS
from holdfast.backup.operations import OPERATIONS as BACKUP
from holdfast.cluster.model import attributes
from holdfast.cluster.model.attributes import AttributeDef, Value
from holdfast.cluster.operations import OPERATIONS as CLUSTER
from holdfast.kernel.operation import Operation, Param
from holdfast.replication.model.pairs import TRANSITIONS, PairEvent, Phase, Reason, Role, Standing
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
    """Every operation of every domain."""
    parts = [
        "# Commands\n\nEvery native command takes `--json` and `--help`. Exit codes: 0 done, 1 failed, 2 wrong usage, "
        "3 refused.\n",
        table(("noun", "what it is about"), [(code(noun), text) for noun, (_, text) in NOUNS.items()]),
        "Dialect commands, linked by `holdfast dialect install --into DIR`: "
        + ", ".join(code(name) for name in DIALECTS)
        + ".\n",
    ]
    for title, found in (("Cluster", CLUSTER), ("Copies", REPLICATION), ("Backup", BACKUP)):
        parts.append(f"## {title}\n")
        parts += [_operation(operation) for operation in found]
    return "\n".join(parts)


def _operation(operation: Operation) -> str:
    kind = "changes something" if operation.changes else "only looks"
    text = f"### holdfast {operation.name}\n\n{operation.summary} ({kind})\n"
    if operation.params:
        rows = [(code(_typed(param)), param.help, "yes" if param.required else "") for param in operation.params]
        text += "\n" + table(("parameter", "meaning", "required"), rows)
    if operation.examples:
        text += "\n```\n" + "\n".join(operation.examples) + "\n```\n"
    return text


def _typed(param: Param) -> str:
    name = param.name.replace("_", "-")
    return name.upper() if param.positional else f"--{name}"


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
        for number, text in sorted(TEXTS.items())
    ]
    return "# Messages of the backup server\n\nIds are stable: programs may look for them.\n\n" + table(
        ("id", "severity", "text"), rows
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": operations,
    "attributes.md": attribute_defaults,
    "pair-states.md": pair_states,
    "messages.md": messages,
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
