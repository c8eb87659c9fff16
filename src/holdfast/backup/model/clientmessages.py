"""The client's message texts, by id: the one table. [S] stands in a public source; [K] is recalled, number or text.

``text("ANS1092W", ...)`` renders one. Programs look for the ids in the output of ``dsmc``.
"""

from __future__ import annotations

TEXTS: dict[str, str] = {
    "ANS1115W": "File '{path}' is excluded by the include-exclude list.",
    "ANS1228E": "Sending of object '{path}' failed: {reason}",
    "ANS1302E": "No objects on server match query: {spec}",
    "ANS1345E": "No objects on the server match '{spec}'",
    "ANS1483I": "Schedule log pruning started.",
    "ANS1484I": "Schedule log pruning finished successfully: {lines} lines removed.",
    "ANS1512E": "Scheduled event '{name}' failed.  Return code = {code}.",
    "ANS1696W": "Filespace '{name}' is excluded from backup.",
    "ANS1816I": "There are no schedules for this node.",  # [K]
    "ANS1895I": "Highest macro return code was {code}.",
    "ANS1902E": "The PRESCHEDULECMD command failed (return code {code}). The scheduled event will not be executed.",
    "ANS1905E": "The server could not be asked for schedules; it is asked again in {seconds} seconds.",  # [K]
    "ANS1906I": "The command is tried again in {seconds} seconds (try {tried} failed, {retries} more allowed).",  # [K]
    "ANS1915E": "The schedule '{name}' asks for '{action}', which is disabled here ({option}).",  # [K]
    "ANS4005E": "Error processing '{path}': file not found",
    "ANS4007E": "Error processing '{path}': access to the object is denied",
    "ANS4037E": "Object '{path}' changed during processing. Object skipped.",
    "ANS4047E": "There is a read error on '{path}': {reason}",
}


def text(id: str, /, **values: object) -> str:
    """Return the message with its id."""
    return f"{id} {TEXTS[id].format(**values)}"
