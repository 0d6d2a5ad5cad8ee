"""The cache of DVC, and what may happen to the files of its work trees."""
