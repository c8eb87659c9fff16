"""A command of this machine knocks at its system daemon's door before it does its own work.

Imported by every command that might, so nothing here is imported but what costs nothing. The socket is the one that
HOLDFAST_SOCKET names, else the usual one; a daemon of another cluster than HOLDFAST_STORE or HOLDFAST_SYSTEM_CONFIG
name sends the command away. Why a socket: ``docs/decisions/0015-the-door.md``.
"""

from __future__ import annotations

import json
import os
import socket
import sys

USUAL = "/run/holdfast/control.sock"
COMMANDS = frozenset(("hastatus", "hagrp", "hares", "hasys", "haclus", "hatype"))
_ANSWER_LIMIT_S = 90.0


def knock(command: str, arguments: list[str]) -> int | None:
    """Return the exit code of a command that was answered at the door; None when it has to be done here."""
    if command not in COMMANDS or not arguments or "-wait" in arguments:
        return None
    path = os.environ.get("HOLDFAST_SOCKET", USUAL)
    asked = {
        "command": command, "arguments": arguments, "reason": os.environ.get("HOLDFAST_REASON", ""),
        "became": os.environ.get("SUDO_USER", ""), "store": os.environ.get("HOLDFAST_STORE", ""),
        "config": os.environ.get("HOLDFAST_SYSTEM_CONFIG", ""),
    }  # fmt: skip
    try:
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(_ANSWER_LIMIT_S)
            door.connect(path)
            door.sendall(json.dumps(asked).encode() + b"\n")
            with door.makefile("rb") as answer:
                told = json.loads(answer.readline())
    except (OSError, ValueError):
        return None
    if "code" not in told:
        return None
    sys.stdout.write(told["out"])
    sys.stderr.write(told["err"])
    return int(told["code"])
