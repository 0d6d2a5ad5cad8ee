"""What users call a model, and which of its files they want."""
