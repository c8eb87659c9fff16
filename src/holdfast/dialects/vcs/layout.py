"""Texts of the VCS dialect in one place: column layouts, headings, letters and message ids.

Site scripts run awk over these layouts and grep these ids: correct them here and nowhere else. What no public source
confirms (the letters from C on, the wording after an id) is a sensible choice, not a claim of fidelity.
"""

from __future__ import annotations

from collections.abc import Sequence

MESSAGES = {
    "no-group": (10133, "Group {name} does not exist"),
    "no-resource": (10260, "Resource {name} does not exist"),
    "no-system": (10284, "System {name} does not exist"),
    "not-faulted": (10267, "Resource {name} is not faulted"),
    "not-offline": (10286, "Group {name} is not offline elsewhere in the cluster"),
    "same-system": (10192, "Cannot switch group {name} to the system it is on"),
    "no-resource-dependencies": (50034, "No Resource dependencies are configured"),
    "no-group-dependencies": (50035, "No Group dependencies are configured"),
}
"""Code of a refusal → (number of the message id, text)."""

SYSTEM_LETTER, GROUP_LETTER = "A", "B"
NOT_PROBED_LETTER, FAILED_LETTER, STARTING_LETTER, STOPPING_LETTER = "C", "D", "E", "F"

GROUP_HEADING = "#Group       Attribute             System     Value"
RESOURCE_HEADING = "#Resource    Attribute             System     Value"
SYSTEM_HEADING = "#System      Attribute             Value"
CLUSTER_HEADING = "#Attribute             Value"
RESOURCE_DEPENDENCY_HEADING = "#Group       Parent     Child"
GROUP_DEPENDENCY_HEADING = "#Parent      Child      Relationship"


def message(code: str, name: str, reason: str, remedy: str) -> str:
    """Return the warning for a refusal; one without a known id says its reason in full."""
    known = MESSAGES.get(code)
    if known is None:
        return f"VCS WARNING {reason}" + (f" ({remedy})" if remedy else "")
    text = known[1].format(name=name)
    return f"VCS WARNING V-16-1-{known[0]} {text}" + (f": {reason}" if reason else "")


def four(first: str, attribute: str, system: str, value: str) -> str:
    """A row of ``-state`` and ``-display`` of groups and resources."""
    return f"{first:<12} {attribute:<21} {system:<10} {value}".rstrip()


def three(first: str, attribute: str, value: str) -> str:
    """A row of ``hasys -display``."""
    return f"{first:<12} {attribute:<21} {value}".rstrip()


def two(attribute: str, value: str) -> str:
    """A row of ``haclus -display``."""
    return f"{attribute:<22} {value}".rstrip()


def system_rows(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """The first section of ``hastatus -summary``."""
    lines = ["-- SYSTEM STATE", f"-- {'System':<20} {'State':<20} {'Frozen':<14}".rstrip(), ""]
    return lines + [f"{SYSTEM_LETTER}  {name:<20} {state:<20} {frozen}".rstrip() for name, state, frozen in rows]


def group_rows(rows: Sequence[tuple[str, str, str, str, str]]) -> list[str]:
    """The second section of ``hastatus -summary``."""
    heading = f"-- {'Group':<15} {'System':<20} {'Probed':<10} {'AutoDisabled':<15} {'State':<14}".rstrip()
    lines = ["", "-- GROUP STATE", heading, ""]
    return lines + [
        f"{GROUP_LETTER}  {group:<15} {system:<20} {probed:<10} {disabled:<15} {state}".rstrip()
        for group, system, probed, disabled, state in rows
    ]


def resource_rows(title: str, letter: str, rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    """A further section of ``hastatus -summary``; nothing when it has no rows."""
    if not rows:
        return []
    lines = ["", f"-- {title}", f"-- {'Group':<15} {'Type':<20} {'Resource':<20} {'System':<20}".rstrip(), ""]
    return lines + [f"{letter}  {group:<15} {kind:<20} {name:<20} {system}" for group, kind, name, system in rows]
