"""What no room shows alone: several operations, real clients, any order, any damage."""
