"""llama.cpp: the cache that it had of its own until March 2026."""
