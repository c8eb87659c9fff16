"""Who may be source: decisions over the pair's record in the store. Pure.

The record is the only authority (a target that displays Full Duplex proves nothing: its source may have gone on alone).
Each function takes what the store says now and returns the record to commit by compare-and-set, or a refusal.
"""

from __future__ import annotations

from holdfast.kernel.errors import Refusal
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import PairRecord


def failover(record: PairRecord | None, local: Endpoint, remote: Endpoint, force: bool) -> PairRecord | Refusal:
    """Decide ``failoverpprc local:remote``: the record that makes ``local`` source, or why not."""
    if record is None:
        if not force:
            return Refusal(
                "no-record",
                f"the store holds no record of {remote} and {local}: the copy was never in sync",
                "establish the pair and wait for Full Duplex, or give -force to accept the data as they are",
            )
        return PairRecord(local, False, 1)
    if record.source == local:
        return PairRecord(local, False, record.generation + 1) if record.in_sync else record
    if not record.in_sync and not force:
        return Refusal(
            "stale",
            f"{remote} went on without {local}, whose data are stale although it may display Target Full Duplex",
            f"resume the pair at {remote.image}, or give -force to lose what only {remote} holds",
        )
    return PairRecord(local, False, record.generation + 1)


def diverge(record: PairRecord | None, local: Endpoint) -> PairRecord | None:
    """Decide what a source commits before it answers writes without its target; None when the peer is source.

    The generation always grows, so a commit of ours that is still on its way can no longer take effect.
    """
    if record is None:
        return PairRecord(local, False, 1)
    return PairRecord(local, False, record.generation + 1) if record.source == local else None


def settle(record: PairRecord | None, local: Endpoint, suspended: bool) -> PairRecord | None:
    """Decide what a source in doubt (restarted, or with a commit of unknown outcome) commits; None: the peer is source.

    A pair that the store calls in sync stays so; the generation grows for the reason that :func:`diverge` gives.
    """
    if record is None or suspended:
        return diverge(record, local)
    return PairRecord(local, record.in_sync, record.generation + 1) if record.source == local else None


def establish(record: PairRecord | None, local: Endpoint) -> PairRecord:
    """Return the record of a new pair whose copy from ``local`` begins."""
    return PairRecord(local, False, (record.generation if record else 0) + 1)


def synced(record: PairRecord | None, local: Endpoint) -> PairRecord | Refusal:
    """Decide what a source commits once its target holds everything."""
    if record is None or record.source != local:
        holder = record.source if record else "nobody"
        return Refusal("not-source", f"the store names {holder} as source, not {local}", "list the pair at both arrays")
    return record if record.in_sync else PairRecord(local, True, record.generation + 1)


def recopy(record: PairRecord | None, local: Endpoint) -> PairRecord | Refusal | None:
    """Decide what a source commits before it overwrites its peer (resume, failback): the peer is not in sync while it
    is copied to."""
    refusal = may_copy_from(record, local)
    if refusal is not None:
        return refusal
    return diverge(record, local) if record is not None and record.in_sync else record


def may_copy_from(record: PairRecord | None, local: Endpoint) -> Refusal | None:
    """Say why ``local`` may not overwrite its peer (resume, failback), or None when it may."""
    if record is None or record.source == local:
        return None
    return Refusal(
        "not-source",
        f"the store names {record.source} as source of the pair with {local}",
        f"run failoverpprc at {local.image} first, or fail back from {record.source.image}",
    )
