"""Mirror paths: a logical subsystem of this array to one of another, one direction, as ``mkpprcpath`` makes them.

The bytes travel over one link per peer; a path says that pairs of these two subsystems may use it, and whether they
are a consistency group. A path that was removed stays known as removed: it must be made again by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_PORTS = ("I0000:I0000",)


@dataclass(frozen=True, slots=True)
class Path:
    """One path. ``consistent``: an error of one pair suspends it *and* holds the writes of the whole source subsystem.

    ``ports`` are the pairs of ports as the command named them; they are shown, nothing depends on them.
    """

    remote: str
    source_lss: str
    target_lss: str
    consistent: bool = False
    ports: tuple[str, ...] = DEFAULT_PORTS
    removed: bool = False

    @property
    def key(self) -> str:
        """The path's key in the array's image."""
        return path_key(self.remote, self.source_lss, self.target_lss)


def path_key(remote: str, source_lss: str, target_lss: str) -> str:
    """Return the key of the path from a subsystem here to one of ``remote``."""
    return f"{remote}/{source_lss}:{target_lss}"
