"""The models over all roots."""
