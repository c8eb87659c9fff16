"""Resource agents that know two domains: MetroMirror brings mirrored volumes to the system that needs them."""
