"""Plugins as the engine sees them."""
