"""Looking after what is there."""
