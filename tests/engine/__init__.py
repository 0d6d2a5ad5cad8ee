"""Every operation, over services that share a workspace."""
