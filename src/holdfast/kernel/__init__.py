"""Values that every domain shares: errors and refusals, sizes, plans, operations. Pure: no I/O, no clock, no chance."""
