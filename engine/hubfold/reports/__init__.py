"""What operations return, as data."""
