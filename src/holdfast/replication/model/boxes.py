"""What a pair is, judged from what both of its boxes say: the state at one box proves little. Pure.

Source: reference on copy services, sections 5.1, 5.2 and 11 (a target that its source has left behind still displays
full duplex; after a failover the old source keeps its state).
"""

from __future__ import annotations

import enum


class PairView(enum.Enum):
    """What both boxes together say of a pair, from the local box's side."""

    SOURCE_IN_SYNC = "local is source, in full duplex"
    SOURCE_ALONE = "local is source, suspended"
    COPYING = "a copy is under way"
    TARGET_IN_SYNC = "local is target and displays full duplex"
    TARGET_BEHIND = "local is target and known to be behind"
    ABSENT = "there is no pair"
    BOTH_SOURCE = "both boxes say that they are source"


def classify(local: str | None, remote: str | None, missing_tracks: int | None = None) -> PairView:
    """Say what a pair is, from its state at the local box and at the remote box: None where a box did not answer, ""
    where it answered that it has no such pair. ``missing_tracks``: how many the remote source has not sent, if told.

    A local ``Target Full Duplex`` counts as in sync only as a display; whether it permits a takeover is the record's
    to say. A remote box that has no such pair any more, or is suspended, may have what the target lacks, unless it
    counts no track that it has not sent (frozen, for a takeover at one point in time). After a failover the old source
    keeps its last state, so two sources are usual until the failback: the one that is suspended took over.
    """
    if not local:
        return PairView.ABSENT
    if local.endswith("Copy Pending"):
        return PairView.COPYING
    if local == "Full Duplex":
        claimed = remote in ("Full Duplex", "Copy Pending", "Suspended")
        return PairView.BOTH_SOURCE if claimed else PairView.SOURCE_IN_SYNC
    if local == "Suspended":
        return PairView.SOURCE_ALONE
    if local != "Target Full Duplex":
        return PairView.TARGET_BEHIND
    if remote == "Copy Pending":
        return PairView.COPYING
    if remote == "Suspended" and missing_tracks == 0:
        return PairView.TARGET_IN_SYNC
    return PairView.TARGET_IN_SYNC if remote in (None, "Full Duplex") else PairView.TARGET_BEHIND
