"""Prompted mode, the client's side: a port at which the server knocks, and nothing else.

A prompt says "ask me" and proves nothing (see ``service/prompting.py``), so all it does is to end a wait early; more
than one a second is not listened to. What is not a prompt for this node is not answered.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from holdfast.backup.plan.clientschedule import PROMPTED, Conduct
from holdfast.backup.service.client.login import Login
from holdfast.backup.service.client.options import ClientOptions
from holdfast.backup.service.prompting import ACKNOWLEDGED, PROMPT_BYTES, read_prompt
from holdfast.kernel.errors import InputError

DEFAULT_PORT = 1501
_TIMEOUT_S = 5.0
_PAUSE_S = 1.0


class Prompts:
    """Waits, and listens for prompts meanwhile. Use as a context manager. ``address`` is empty when it only waits."""

    def __init__(self, node: str, host: str = "", port: int | None = None) -> None:
        self._node = node.upper()
        self.address = ""
        self._prompted = threading.Event()
        self._socket: socket.socket | None = None
        if host:
            self._socket = _listen(host, port)
            self.address = f"{host}:{self._socket.getsockname()[1]}"
            threading.Thread(target=self._serve, name="prompts", daemon=True).start()

    @classmethod
    def of(cls, options: ClientOptions, login: Login) -> Prompts:
        """Return what SCHEDMODE, TCPCLIENTADDRESS and TCPCLIENTPORT ask for. Raises ``InputError``."""
        if Conduct.of(options.values).mode != PROMPTED:
            return cls(login.node)
        text = options.get("TCPCLIENTPORT")
        if text and not (text.isdigit() and int(text) < 65_536):
            raise InputError(f"TCPCLIENTPORT: {text} is no port", remedy="1 to 65535")
        host = options.get("TCPCLIENTADDRESS") or socket.gethostname()
        return cls(login.node, host, int(text) if text else None)

    def __enter__(self) -> Prompts:
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def wait(self, wait_s: float) -> bool:
        """Wait; return early, with True, when the server knocks."""
        came = self._prompted.wait(wait_s)
        self._prompted.clear()
        return came

    def _serve(self) -> None:
        assert self._socket is not None
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed: nobody waits any more
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_TIMEOUT_S)
                found = read_prompt(_line(connection))
                if found is not None and found[1].upper() == self._node:
                    connection.sendall(ACKNOWLEDGED)
                    self._prompted.set()
                    time.sleep(_PAUSE_S)


def _line(connection: socket.socket) -> bytes:
    data = b""
    while len(data) < PROMPT_BYTES and not data.endswith(b"\n"):
        piece = connection.recv(PROMPT_BYTES - len(data))
        if not piece:
            break
        data += piece
    return data


def _listen(host: str, port: int | None) -> socket.socket:
    """Listen at the port of the options; at 1501, or any that is free, where there is none."""
    for choice in (DEFAULT_PORT, 0) if port is None else (port,):
        try:
            return socket.create_server((host, choice), backlog=4)
        except OSError as error:
            failure = error
    raise InputError(
        f"cannot listen for prompts at {host}: {failure.strerror}", remedy="set TCPCLIENTADDRESS, TCPCLIENTPORT"
    )
