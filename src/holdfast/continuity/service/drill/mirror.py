"""What the drill reads of the arrays: pair states and copied tracks, and whether two volumes hold the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.continuity.model.sites import MIRRORED, Role
from holdfast.continuity.service.drill.stage import Stage


def array_of(stage: Stage, site: int) -> str:
    """Return the storage image id of a site's array."""
    return stage.layout.of(Role.ARRAY, site)[0].name


def pair_rows(stage: Stage, site: int) -> list[dict[str, Any]]:
    """Return the mirrored volumes' pairs as a site's array sees them."""
    return stage.eyes.array(site, "pairs", *MIRRORED)


def states(stage: Stage, site: int) -> set[str]:
    """Return the states that ``lspprc`` would show for the mirrored volumes at a site's array."""
    return {row["state"] for row in pair_rows(stage, site)}


def await_states(stage: Stage, site: int, wanted: str, timeout_s: float = 30.0) -> None:
    """Wait until every mirrored volume shows ``wanted`` at a site's array."""
    array = array_of(stage, site)
    stage.until(f"{wanted} at {array}", lambda: states(stage, site) == {wanted}, timeout_s, array)


def digests(stage: Stage, site: int, volumes: Sequence[str]) -> list[str]:
    """Return the digest of each volume's bytes, made by its array."""
    rows = {row["id"]: row["blake3"] for row in stage.eyes.array(site, "digest", *volumes)}
    return [rows[volume] for volume in volumes]


def insist_equal_bytes(stage: Stage, what: str) -> None:
    """Insist that both arrays hold the same bytes in every mirrored volume. The service must be quiet."""
    first, second = digests(stage, 1, MIRRORED), digests(stage, 2, MIRRORED)
    arrays = (array_of(stage, 1), array_of(stage, 2))
    stage.insist(first == second, f"equal bytes at both arrays {what}", f"digests {first} and {second}", *arrays)
