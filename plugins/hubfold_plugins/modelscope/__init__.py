"""ModelScope: the caches of its clients."""
