"""Composition roots: the only place that wires drivers to ports and names process entry points."""
