"""The user's own folder."""
