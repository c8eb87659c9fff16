"""Holdfast keeps a clustered service running and its data recoverable.

The house: ``kernel`` (values) → ``store`` (replicated state) → ``runtime`` (the I/O shell) → the three domains
``cluster``, ``replication`` and ``backup`` → ``continuity``, which alone knows several of them → ``cli`` and
``dialects`` →
``app`` and ``lab``, which wire drivers to ports. ARCHITECTURE.md draws it.
"""

__version__ = "0.1.0"
