"""The user's own folder: what is configured, registered and remembered."""
