"""Models on their way to nowhere."""
