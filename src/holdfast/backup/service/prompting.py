"""Prompted mode: the server knocks at a node's address and says "ask me". Nothing else crosses this connection.

A prompt is one line of text, ``HOLDFAST PROMPT SERVER NODE``; the answer is ``OK``. It needs no secret and proves
nothing: whoever sends one makes the client do what it would do anyway, open its own session with the server that it
knows and ask for its schedules. A client bounds how often it listens to that.
"""

from __future__ import annotations

import re
import socket

PROMPT_BYTES = 256
"""No prompt is longer; a client stops reading there."""
ACKNOWLEDGED = b"OK\n"
_TIMEOUT_S = 5.0
_PROMPT = re.compile(rb"HOLDFAST PROMPT ([\w.+&-]{1,64}) ([\w.+&-]{1,64})\n")


def prompt_line(server: str, node: str) -> bytes:
    """Return the line that a prompt is."""
    return f"HOLDFAST PROMPT {server} {node}\n".encode()


def read_prompt(line: bytes) -> tuple[str, str] | None:
    """Return server and node of a prompt; None for anything else."""
    found = _PROMPT.fullmatch(line)
    return (found[1].decode(), found[2].decode()) if found else None


def prompt(address: str, server: str, node: str) -> bool:
    """Knock at ``address`` (``HOST:PORT``); return whether somebody acknowledged within five seconds."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT_S) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.sendall(prompt_line(server, node))
            return connection.recv(len(ACKNOWLEDGED)) == ACKNOWLEDGED
    except (OSError, ValueError):
        return False
