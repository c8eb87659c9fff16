"""The drill: every part of Holdfast at work on real bytes, step by step, each step checked against what it claims.

``runner`` is the table of contents; ``stage`` is what every step has in its hands; one module per step follows the
order of the drill: protect, snapshot, backup, vault, switch, disaster, recover, failback, trouble.
"""
