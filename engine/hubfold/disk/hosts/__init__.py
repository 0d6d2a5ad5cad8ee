"""Locks that hold between hosts, where flock may reach no further than this one."""
