"""Bytes: read, hashed, compared, shared."""
