"""Models that lie in a folder of the user's, made proper ones of a cache."""
