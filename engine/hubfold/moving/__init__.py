"""Models moved from one place to another."""
