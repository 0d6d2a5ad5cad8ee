"""Stores of Docker Model Runner, as its manifests, blobs and bundles lie on the disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

CONFIG = b'{"config":{"format":"gguf"}}'
MEDIA = "application/vnd.docker.ai."


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blob(store: Path, content: bytes) -> Path:
    path = store / "blobs/sha256" / digest(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def model(store: Path, tags: list[str], layers: Mapping[str, bytes], *, unpacked: bool = True) -> Path:
    """A model of layers by what each is (``gguf.v3``); `unpacked`: its runtime has been given it. Its manifest."""
    for content in (*layers.values(), CONFIG):
        blob(store, content)
    told = [
        {"mediaType": MEDIA + kind, "digest": f"sha256:{digest(content)}", "size": len(content)}
        for kind, content in layers.items()
    ]
    config = {"mediaType": MEDIA + "model.config.v0.1+json", "digest": f"sha256:{digest(CONFIG)}"}
    manifest = json.dumps(
        {"schemaVersion": 2, "config": {**config, "size": len(CONFIG)}, "layers": told}
    ).encode()
    path = store / "manifests/sha256" / digest(manifest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(manifest)
    index = store / "models.json"
    known = json.loads(index.read_text())["models"] if index.exists() else []
    files = [f"sha256:{digest(content)}" for content in (*layers.values(), CONFIG)]
    known.append({"id": f"sha256:{path.name}", "tags": tags, "files": files})
    index.write_text(json.dumps({"models": known}, indent=2))
    (store / "layout.json").write_text('{"version":"1.0.0"}')
    if unpacked:
        unpack(store, path.name, layers)
    return path


def unpack(store: Path, id_: str, layers: Mapping[str, bytes]) -> Path:
    """The bundle, as the program makes it."""
    folder = store / "bundles/sha256" / id_ / "model"
    folder.mkdir(parents=True)
    (folder.parent / "config.json").write_bytes(b"{}")
    for kind, content in layers.items():
        if "gguf" in kind:
            # As Go's: a symlink would be linked itself.
            os.link(blob_of(store, content), folder / "model.gguf", follow_symlinks=False)
    return folder


def blob_of(store: Path, content: bytes) -> Path:
    return store / "blobs/sha256" / digest(content)
