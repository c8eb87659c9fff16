"""The backup services: the server's rooms (``server``, ``ingest``, ``egress``, ``vault``, ``admin``) and the client's."""
