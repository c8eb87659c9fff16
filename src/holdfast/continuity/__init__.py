"""The only package that knows several domains: role swap on failover, snapshots around a service, drills."""
