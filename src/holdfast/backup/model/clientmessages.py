"""The client's message texts, by id: the one table. [S] stands in a public source; [K] is recalled, number or text.

``text("ANS1092W", ...)`` renders one. Programs look for the ids in the output of ``dsmc``.
"""

from __future__ import annotations

TEXTS: dict[str, str] = {
    "ANS1114I": "Waiting for next scheduled event.",  # [K]
    "ANS1115W": "File '{path}' is excluded by the include-exclude list.",
    "ANS1126E": "The file space cannot be deleted because this node does not have permission to delete {what} data.",
    "ANS1149E": "No domain is available for incremental backup.",
    "ANS1228E": "Sending of object '{path}' failed: {reason}",
    "ANS1302E": "No objects on server match query: {spec}",
    "ANS1345E": "No objects on the server match '{spec}'",
    "ANS1483I": "Schedule log pruning started.",
    "ANS1484I": "Schedule log pruning finished successfully: {lines} lines removed.",
    "ANS1512E": "Scheduled event '{name}' failed.  Return code = {code}.",
    "ANS1696W": "Filespace '{name}' is excluded from backup.",
    "ANS1802E": "Incremental backup of '{name}' finished with {count} failure(s)",
    "ANS1804E": "{verb} processing of '{name}' finished with failures.",  # [K]
    "ANS1895I": "Highest macro return code was {code}.",
    "ANS1898I": "***** Processed {count:,} files *****",
    "ANS1901I": "Highest return code was {code}.",
    "ANS1909E": "The scheduled command failed.",  # [K]
    "ANS1915E": "The schedule '{name}' asks for '{action}', which is disabled here ({option}).",  # [K]
    "ANS2000E": "Unknown command - {word}",  # [K]
    "ANS4005E": "Error processing '{path}': file not found",
    "ANS4007E": "Error processing '{path}': access to the object is denied",
    "ANS4037E": "Object '{path}' changed during processing. Object skipped.",
    "ANS4047E": "There is a read error on '{path}': {reason}",
}


def text(id: str, /, **values: object) -> str:
    """Return the message with its id."""
    return f"{id} {TEXTS[id].format(**values)}"
