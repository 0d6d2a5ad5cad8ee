"""The names in a store of RamaLama."""

from __future__ import annotations

import re
from collections.abc import Collection

#: The backend's.
NAME = "ramalama"

#: Where models come from, by the first folder below a store.
TRANSPORTS = frozenset({"huggingface", "ollama", "modelscope", "rlcr", "oci", "file", "http", "https"})
#: Those of which the program compares what it downloads with what they said that it is.
CHECKED = frozenset({"huggingface", "ollama", "modelscope"})
PARTS = frozenset({"blobs", "refs", "snapshots"})
BLOB = re.compile(r"sha256-([0-9a-f]{64})")
PARTIAL = ".partial"


def is_model(names: Collection[str]) -> bool:
    """Whether a folder with these names is a model's."""
    return PARTS.issubset(names)
