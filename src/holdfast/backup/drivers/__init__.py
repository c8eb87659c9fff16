"""Drivers behind the backup ports: the SQLite catalog, volumes as files, volumes on another server."""
