"""Procedures that join the domains: snapshots around a service, evidence for the cluster, the drill."""
