"""The catalog: one schema for every database driver, and the statements on it, grouped by what they speak of."""
