"""Asks the ledger one question and prints the answer: ``python -m holdfast.lab.ask HOST:PORT[,HOST:PORT...] DUMP``."""

from __future__ import annotations

import socket
import sys

TIMEOUT_S = 5.0


def ask(addresses: str, question: str) -> list[str]:
    """Return the lines of the first answer; DUMP ends with END, everything else has one line. Raises OSError."""
    trouble: OSError | None = None
    for address in addresses.split(","):
        try:
            return _ask(address, question)
        except OSError as error:
            trouble = error
    assert trouble is not None
    raise trouble


def _ask(address: str, question: str) -> list[str]:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as connection:
        connection.sendall(question.encode() + b"\n")
        lines: list[str] = []
        for line in connection.makefile("r"):
            lines.append(line.strip())
            if question != "DUMP" or lines[-1] == "END":
                return lines
    raise ConnectionError(f"{address} hung up in the middle of its answer")


if __name__ == "__main__":
    sys.stdout.write("\n".join(ask(sys.argv[1], sys.argv[2])) + "\n")
