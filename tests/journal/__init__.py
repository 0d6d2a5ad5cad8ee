"""What was announced before it happened."""
