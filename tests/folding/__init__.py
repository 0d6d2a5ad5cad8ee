"""From duplicate sets to links, and back."""
