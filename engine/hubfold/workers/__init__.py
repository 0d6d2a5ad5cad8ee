"""Room: work that is read and listed by other processes, on this host or others."""
