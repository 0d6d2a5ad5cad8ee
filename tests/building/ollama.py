"""Stores of Ollama, as its manifests and blobs lie on the disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

MEDIA = "application/vnd.ollama.image."
CONFIG = b'{"model_format":"gguf","model_family":"llama"}'
LIBRARY = "registry.ollama.ai/library"


def blob(store: Path, content: bytes) -> Path:
    path = store / "blobs" / f"sha256-{hashlib.sha256(content).hexdigest()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def layer(content: bytes, kind: str = "model") -> dict[str, object]:
    media = "application/vnd.docker.container.image.v1+json" if kind == "config" else MEDIA + kind
    return {
        "mediaType": media,
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "size": len(content),
    }


def manifest(layers: Mapping[str, bytes]) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": layer(CONFIG, "config"),
        "layers": [layer(content, kind) for kind, content in layers.items()],
    }


def model(store: Path, place: str, layers: Mapping[str, bytes]) -> Path:
    """A model whose manifest is at `place` below ``manifests/``; `layers` by what each is."""
    for content in (*layers.values(), CONFIG):
        blob(store, content)
    path = store / "manifests" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest(layers)), encoding="utf-8")
    return path
