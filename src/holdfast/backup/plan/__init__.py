"""Pure decisions of the backup domain: which files count, what changed, which versions go, what differs."""
