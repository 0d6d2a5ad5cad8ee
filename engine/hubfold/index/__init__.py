"""What was found, in SQLite: a cache that may be deleted."""
