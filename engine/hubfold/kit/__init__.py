"""For those who write plugins: a distribution to begin with, and a look at one that is there."""
