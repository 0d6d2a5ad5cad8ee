"""LM Studio: its models folder."""
