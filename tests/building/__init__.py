"""What tests build their scenes with: trees, indexes, plans, programs, damage."""
