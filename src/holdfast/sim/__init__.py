"""The cluster on simulated time: the production daemons on hosts, a network and a store that fail by a seed.

One process and one thread run a whole cluster. Chance comes from one seeded generator, so a seed is a whole story that
can be told again: ``python -m holdfast.sim --seed N``.
"""
