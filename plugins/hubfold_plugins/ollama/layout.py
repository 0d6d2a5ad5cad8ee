"""The names in a store of Ollama."""

from __future__ import annotations

import re

#: The backend's.
NAME = "ollama"

BLOBS, MANIFESTS = "blobs", "manifests"
#: ``BlobsPath`` of manifest/paths.go; Ollama itself writes lower case.
BLOB = re.compile(r"sha256-([0-9a-fA-F]{64})")
#: Of a download: the file that it is written to, and the notes of how far each part of it came.
PARTIAL = re.compile(r"sha256-([0-9a-fA-F]{64})-partial(-\d+)?")
