"""From roots to rows of the index."""
