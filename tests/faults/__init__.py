"""The fault harness: kills, injected errors, power cuts and real file systems. See tests/README.md."""
