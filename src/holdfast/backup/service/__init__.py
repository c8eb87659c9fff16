"""The backup services: the server's rooms (``ingest``, ``egress``, ``vault``, ``admin``) and the client's."""
