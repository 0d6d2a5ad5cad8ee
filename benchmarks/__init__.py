"""Benchmarks of hubfold beside other programs and beside the limits of the machine. See README.md."""
