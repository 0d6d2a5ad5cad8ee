"""The store of RamaLama."""
