"""Locks that hold between hosts."""
