"""Values of continuity: the layout of two sites, the figures of a drill, the record of a snapshot."""
