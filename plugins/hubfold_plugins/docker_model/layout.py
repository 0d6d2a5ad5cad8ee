"""The names in a store of Docker Model Runner."""

from __future__ import annotations

import re

#: The backend's.
NAME = "docker-model"

INDEX, LAYOUT = "models.json", "layout.json"
#: Hexadecimal digits of what the store takes for a digest (``allowedAlgorithms`` of blobs.go).
LENGTHS = {"sha256": 64, "sha512": 128}
INCOMPLETE = ".incomplete"
_HEX = re.compile(r"[0-9a-fA-F]+")


def is_digest(algorithm: str, text: str) -> bool:
    """Whether `text` is one in hexadecimal digits."""
    return len(text) == LENGTHS.get(algorithm) and _HEX.fullmatch(text) is not None
