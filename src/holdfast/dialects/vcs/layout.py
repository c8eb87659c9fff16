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
    "no-type": (10281, "Type {name} does not exist"),
    "no-user": (10605, "User {name} does not exist"),
    "not-faulted": (10267, "Resource {name} is not faulted"),
    "not-offline": (10286, "Group {name} is not offline elsewhere in the cluster"),
    "same-system": (10192, "Cannot switch group {name} to the system it is on"),
    "no-resource-dependencies": (50034, "No Resource dependencies are configured"),
    "no-group-dependencies": (50035, "No Group dependencies are configured"),
    "read-only": (11309, "Configuration must be ReadWrite: use haconf -makerw"),
    "writable": (10364, "Cluster already writable"),
    "closed": (10365, "Cluster already read-only"),
    "key-exists": (10563, "Keylist already holds the key"),
    "no-key": (10566, "Keylist does not hold the key"),
    "group-exists": (10134, "Group {name} already exists"),
    "resource-exists": (10259, "Resource {name} already exists"),
    "system-exists": (10283, "System {name} already exists"),
    "not-allowed": (10600, "User does not have the privileges for this command"),
}
"""Code of a refusal → (number of the message id, text). Confirmed: 10133, 10260, 10267, 10286, 10192, 50034, 50035,
10364, 10563, 10566; the others are [K]."""

NOTICES = {
    "group-added": ("NOTICE", 10136, "Group added; populate SystemList and set Parallel before resources are added"),
    "resource-added": ("NOTICE", 10242, "Resource added. Enabled attribute must be set before agent monitors"),
    "link-order": (
        "WARNING", 10299,
        "Resource {parent} now requires {child}. If {child} is what needs {parent}: "
        "hares -unlink {parent} {child}; hares -link {child} {parent}",
    ),
}  # fmt: skip
"""Code → (severity, number, text) of what is said although all went well. Confirmed: 10136, 10242."""

SAID = 50000
"""Number of what the daemon says without an id of its own; this and the texts below are [K]."""

RESOURCE_MESSAGES = {
    "starting": ("NOTICE", 10301, "Initiating Online of Resource {name} (Group: {group}) on System {system}"),
    "stopping": ("NOTICE", 10300, "Initiating Offline of Resource {name} (Group: {group}) on System {system}"),
    "cleaning": ("NOTICE", 10307, "Initiating Clean of Resource {name} (Group: {group}) on System {system}: {detail}"),
    "online": ("INFO", 10298, "Resource {name} (Group: {group}) is online on System {system}"),
    "offline": ("INFO", 10305, "Resource {name} (Group: {group}) is offline on System {system}"),
    "went-down": ("ERROR", 10309, "Resource {name} (Group: {group}) went offline on System {system} by itself"),
    "unknown": ("WARNING", 10304, "State of Resource {name} (Group: {group}) is unknown on System {system}: {detail}"),
    "faulted": ("ERROR", 10303, "Resource {name} (Group: {group}) is FAULTED on System {system}: {detail}"),
    "cleared": ("NOTICE", 10302, "Fault of Resource {name} (Group: {group}) is cleared on System {system}"),
    "clean-failed": ("ERROR", 13006, "Clean of Resource {name} (Group: {group}) fails on System {system}: {detail}"),
}  # fmt: skip
"""What happened to a resource → severity, number and text of its line in the logs."""

ABSENT = frozenset(("no-group", "no-resource", "no-system", "no-type", "no-user"))
"""Refusals about something that is not there; their text is complete with its name."""

SYSTEM_LETTER, GROUP_LETTER = "A", "B"
FLAG_SECTIONS = (
    ("RESOURCES NOT PROBED", "C", "STATE UNKNOWN"),
    ("RESOURCES FAILED", "D", "FAULTED"),
    ("RESOURCES WAITING FOR AN ADMINISTRATOR", "J", "ADMIN_WAIT"),
    ("RESOURCES UNABLE TO GO OFFLINE", "K", "UNABLE TO OFFLINE"),
)
"""Sections of ``hastatus -summary`` after the second: title, letter, flag of the resources in it."""
PHASE_SECTIONS = (
    ("RESOURCES ONLINING", "E", ("starting",)),
    ("RESOURCES OFFLINING", "F", ("stopping", "cleaning")),
)
"""Title, letter, what the agent is doing to the resources in it."""
FROZEN_TITLE, FROZEN_LETTER = "GROUPS FROZEN", "H"
REMOTE_SECTIONS = (
    ("WAN HEARTBEAT STATE", "L", ("Heartbeat", "To", "State")),
    ("REMOTE CLUSTER STATE", "M", ("Cluster", "State")),
    ("REMOTE SYSTEM STATE", "N", ("cluster:system", "State")),
    ("REMOTE GROUP STATE", "O", ("Group", "cluster:system", "State")),
)
"""Sections about remote clusters: title, letter, columns; all [K]."""
STREAM_HEADING = (
    f"{'group':<15} {'resource':<20} {'system':<20} message",
    f"{'-' * 15} {'-' * 20} {'-' * 20} {'-' * 20}",
)

GROUP_HEADING = "#Group       Attribute             System     Value"
RESOURCE_HEADING = "#Resource    Attribute             System     Value"
SYSTEM_HEADING = "#System      Attribute             Value"
TYPE_HEADING = "#Type        Attribute             Value"
NODE_HEADING = "#NodeId                System"
UTIL_HEADING = "#System      Attribute             Capacity   Used       Available"
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


def notice(code: str, names: Sequence[str]) -> str:
    """Return a notice, or nothing for a code that says nothing; ``names`` are the plain words of the command."""
    if code not in NOTICES:
        return ""
    severity, number, text = NOTICES[code]
    parent, child = (*names, "", "")[:2]
    return f"VCS {severity} V-16-1-{number} {text.format(parent=parent, child=child)}"


FORECAST_HEADING = "#Group       OnlineNow     FailoverTarget"


def forecast(group: str, before: Sequence[str], after: Sequence[str]) -> str:
    """Return the line of a group: where it is, and where it would be if its system were lost (both [K])."""
    return f"{group:<12} {' '.join(before) or '-':<13} {' '.join(after) or '-'}"


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


def remote_rows(section: int, rows: Sequence[Sequence[str]]) -> list[str]:
    """One of the sections about remote clusters; nothing when it has no rows."""
    title, letter, columns = REMOTE_SECTIONS[section]
    lines = ["  ".join((mark, *(f"{cell:<20}" for cell in row))).rstrip() for mark, row in (
        ("--", columns), ("", ()), *((letter, row) for row in rows)
    )]  # fmt: skip
    return ["", f"-- {title}", *lines] if rows else []


def resource_rows(title: str, letter: str, rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    """A further section of ``hastatus -summary``; nothing when it has no rows."""
    if not rows:
        return []
    lines = ["", f"-- {title}", f"-- {'Group':<15} {'Type':<20} {'Resource':<20} {'System':<20}".rstrip(), ""]
    return lines + [f"{letter}  {group:<15} {kind:<20} {name:<20} {system}" for group, kind, name, system in rows]


def named_rows(title: str, letter: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    """A section with a name and a word each; nothing when it has no rows."""
    if not rows:
        return []
    return [
        "",
        f"-- {title}",
        f"-- {'Group':<15} {'How':<20}".rstrip(),
        "",
        *(f"{letter}  {a:<15} {b}" for a, b in rows),
    ]


def stream_row(group: str, resource: str, system: str, text: str) -> str:
    """A row of ``hastatus`` without ``-summary``."""
    return f"{group:<15} {resource:<20} {system:<20} {text}".rstrip()
