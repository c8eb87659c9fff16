"""The TSM dialect: its command language in, its text out. It parses and prints; the backup domain does the work."""
