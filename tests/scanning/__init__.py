"""From roots to rows."""
