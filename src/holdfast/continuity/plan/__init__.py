"""Pure decisions of continuity: what an online of mirrored volumes needs, and the steps of a procedure."""
