"""How long a system may be silent: the defaults, in one place, and what they must be enough for. Seconds.

A healthy system must outlive the loss of etcd's leader. At worst the leader dies just before the next renewal is
written, a heartbeat after the last one; that is held up until there is a new leader, and counts if it is confirmed
before the lease of the last one ends. So ``LEASE_TTL_S`` is longer than a heartbeat, the time by which a sign is told
before it is written, the longest election and one more round.
Nothing makes it longer than that, because all of it is time without service when a system is lost.
docs/explanation/timing.md does the sum.
"""

from __future__ import annotations

HEARTBEAT_INTERVAL_S = 0.4
"""A sign of life is given this often."""
TELL_AHEAD_S = 0.04
"""A sign that another system writes is told to it so long before it writes; later if that proves to be too late."""
LEASE_TTL_S = 2.75
"""The guard ends everything this long after the start of the last renewal that was confirmed."""
MARGIN_S = 0.3
"""Others wait so much longer, from when they saw that renewal, before they call a system dead."""

ELECTION_MAX_S = 2.0
"""etcd's followers wait between one and two election timeouts (1000 ms) before they stand for election."""
ROUND_S = 0.3
"""For a vote, a read that proves the new leader, and the write, on a busy machine."""
