"""Which payloads have one content."""
