"""The default timing keeps both of its promises: it outlives etcd's longest election, and it is short."""

from __future__ import annotations

from holdfast.cluster.model.timing import (
    ELECTION_MAX_S,
    HEARTBEAT_INTERVAL_S,
    LEASE_TTL_S,
    MARGIN_S,
    ROUND_S,
    TELL_AHEAD_S,
)
from holdfast.cluster.plan.deadline import Deadline

PACEMAKER_S = 8.0
SHARE = 0.4
START_S = 0.3  # commit, entry points, address; nobody polls for the moment at which a system counts as dead


def test_a_renewal_that_waited_for_the_longest_election_is_in_time() -> None:
    deadline = Deadline()
    deadline.renewed(0.0, LEASE_TTL_S)
    # The last sign was told to the gatherer before it was written; the leader died just before the next was.
    confirmed = TELL_AHEAD_S + HEARTBEAT_INTERVAL_S + ELECTION_MAX_S + ROUND_S
    assert deadline.holds(confirmed)
    deadline.renewed(HEARTBEAT_INTERVAL_S, LEASE_TTL_S)
    assert deadline.holds(confirmed + HEARTBEAT_INTERVAL_S)


def test_a_lost_system_is_taken_over_within_the_promised_share_of_pacemakers_time() -> None:
    half_a_heartbeat_s = HEARTBEAT_INTERVAL_S / 2  # so long before the loss the last sign of life came, on average
    assert LEASE_TTL_S + MARGIN_S - half_a_heartbeat_s + START_S <= SHARE * PACEMAKER_S
