"""What continuity needs from outside: two sites on which a drill can act.

The lab implements :class:`Sites` with namespaces or plain processes; a real pair of data centres could implement it
with remote shells and power switches. Everything a drill learns, it learns by running the commands that an
administrator would type on a host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from holdfast.continuity.model.sites import Layout, Link
from holdfast.kernel.errors import HoldfastError


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed and how it ended."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    def require(self) -> str:
        """Return what was printed; raise when the command failed, with what it said."""
        if self.code != 0:
            said = (self.stderr or self.stdout).strip()
            raise HoldfastError(f"`{' '.join(self.argv)}` ended with {self.code}: {said}")
        return self.stdout


class AccessControl(Protocol):
    """An array that can cut a host off."""

    def revoke(self, host: str, key: int) -> str:
        """Bar ``host`` with ``key`` and every smaller key from all volumes, durably; return the confirmation.

        Once this returns, no write of such a connection is applied any more. Blocks; raises ``Unavailable``.
        """


class Sites(Protocol):
    """Two sites, a witness and a client. Hosts are named as in the layout. Calls block; each has a bounded time."""

    layout: Layout
    root: bool
    directory: Path
    examples: Path

    def boot(self) -> None:
        """Make the hosts, the network and the identities; start the witness."""

    def power_on(self, host: str) -> None:
        """Give a host power and network, but start nothing on it."""

    def start(self, *hosts: str) -> None:
        """Give hosts power, network and their services, and wait until the services say that they are ready."""

    def run(
        self,
        host: str,
        argv: Sequence[str],
        *,
        timeout_s: float = 60.0,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
    ) -> Output:
        """Run a command on a host."""

    def kill(self, host: str) -> None:
        """Take a host's network and power: SIGKILL to every process, unsaved memory lost."""

    def crash(self, host: str) -> None:
        """SIGKILL the host's service process only."""

    def pause(self, host: str) -> None:
        """SIGSTOP every process of a host."""

    def resume(self, host: str) -> None:
        """SIGCONT every process of a host."""

    def cut(self, link: Link) -> None:
        """Cut a link: what is sent is lost."""

    def mend(self, link: Link) -> None:
        """Mend a link."""

    def processes(self, host: str, pattern: str) -> int:
        """Return how many living processes of a host have ``pattern`` in their command line."""

    def alive(self, host: str) -> bool:
        """Return whether the host has power."""

    def log(self, host: str) -> Path:
        """Return the file that holds what the host's service printed."""

    def close(self) -> None:
        """End everything and leave nothing behind. Idempotent."""
