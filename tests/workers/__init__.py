"""Work that other processes and other hosts do."""
