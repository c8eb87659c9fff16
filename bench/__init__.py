"""Benchmarks: one promise each, against a named peer in the same run; ``make bench-NAME`` runs one."""
