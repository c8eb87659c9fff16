"""Asks a small HTTP service who it is, every 5 ms, and prints a line at each change: monotonic seconds and the answer.

A connection is given 30 ms: longer would let one lost packet hide when the service came back.
"""

from __future__ import annotations

import json
import socket
import sys
import time


def ask(address: str, port: int) -> str:
    """Return what the service says, or an empty text when it does not answer."""
    try:
        with socket.create_connection((address, port), timeout=0.03) as connection:
            connection.settimeout(0.2)
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while part := connection.recv(4096):
                answer += part
    except OSError:
        return ""
    return answer.partition(b"\r\n\r\n")[2].decode().strip()


def main() -> None:
    """Ask until killed."""
    last: str | None = None
    while True:
        found = ask(sys.argv[1], int(sys.argv[2]))
        if found != last:
            sys.stdout.write(json.dumps((time.monotonic(), found)) + "\n")
            sys.stdout.flush()
            last = found
        time.sleep(0.005)


if __name__ == "__main__":
    main()
