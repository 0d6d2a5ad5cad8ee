"""What a container sees of folders that are mounted into it."""
