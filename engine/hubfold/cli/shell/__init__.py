"""What shells and the reader of manual pages get of the command line."""
