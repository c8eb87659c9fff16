"""What clients tell of their work, in the server's activity log: statistics, and failures under the server's prefix.

A client's ANS4037E becomes ANE4037E, so that whoever reads the log of one server sees the troubles of all its clients.
Only known statistics and lines that look like messages are taken, and only so many: it is a client that speaks.
"""

from __future__ import annotations

import re

from holdfast.backup.model import messages
from holdfast.backup.service.core import Core
from holdfast.backup.session import messages as m

FAILURES = 100
_CHARACTERS = 1_000
_FAILURE = re.compile(r"ANS(\d{4}[WES]) (.*)", re.DOTALL)
_COUNT_LIMIT = 2**63


def note(core: Core, node: str, session: int, message: m.Tell) -> None:
    """Write what a client told into the activity log."""
    texts = [
        messages.text(id, node=node, count=message.figures[id])
        for id in messages.TEXTS
        if id.startswith("ANE") and 0 <= message.figures.get(id, -1) < _COUNT_LIMIT
    ]
    failures = [found for line in message.failures[:FAILURES] if (found := _FAILURE.fullmatch(line)) is not None]
    texts += [f"ANE{found[1]} (Node: {node}) {_one_line(found[2])}" for found in failures]
    core.log_texts(texts, session=session)


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_CHARACTERS])
