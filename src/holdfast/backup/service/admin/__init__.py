"""Administrative operations: what an administrator may ask of a server, carried out here, spoken by the dialects."""
