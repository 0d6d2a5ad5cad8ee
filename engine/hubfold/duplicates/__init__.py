"""Which files have one content, and what their copies cost."""
