"""Backup: nodes, filespaces, versions, policy, storage pools, server to server.

The flow: the client scans a filespace and merges it with the server's inventory (``plan.difference``), content goes
through chunk, hash, compress (client) and encrypt, append (server) into pool volumes; data durable, then catalog, then
acknowledgement. Pool and database volumes can be kept by another server as virtual volumes (``service.vault``), from
which a lost server is recovered. Floors: ``model`` ← ``plan`` ← ``ports``/``operations`` ← ``session`` ← ``service``
and ``drivers``, which do not know one another; ``app.backup`` wires them.
"""
