"""The objects that links lead to."""
