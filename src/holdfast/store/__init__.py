"""Replicated cluster state: read, transaction, lease, watch. The authority for every intent and for leadership."""
