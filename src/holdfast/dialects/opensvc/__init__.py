"""The OpenSVC dialect: service files of the agent's format, ``svcmgr`` and ``nodemgr`` over them.

``servicefile`` reads the text, ``service`` makes a typed service of it, ``schedule`` says when something is due,
``translate`` makes a service group of what moves, ``actions`` carries out what was typed and ``svcmgr`` is the command.
What a flash copy set is and when it may be resynchronised is decided in ``replication/plan/syncset.py``.
"""
