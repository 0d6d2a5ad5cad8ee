"""What many hosts have."""
