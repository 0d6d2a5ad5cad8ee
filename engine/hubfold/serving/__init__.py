"""The models of this host for others: the Hub's download protocol over what the roots hold, read-only."""
