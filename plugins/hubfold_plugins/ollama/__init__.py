"""The store of Ollama."""
