"""The drivers behind the store port: memory (tests), embedded (a SQLite file), served (an embedded store elsewhere)."""
