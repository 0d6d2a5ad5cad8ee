"""`Engine`, every operation for the command line and for Python alike, over services that share a `Workspace`."""
