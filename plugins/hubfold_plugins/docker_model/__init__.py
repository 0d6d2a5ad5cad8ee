"""The store of Docker Model Runner."""
