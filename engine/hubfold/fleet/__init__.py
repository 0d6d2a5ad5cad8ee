"""What many hosts have: each writes down its index as one file, and questions are asked of all the files."""
