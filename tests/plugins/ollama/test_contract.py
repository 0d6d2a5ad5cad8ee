"""Ollama's store keeps the contract."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold.testing import BackendContract, Built
from hubfold_plugins.ollama.store import OllamaBackend
from tests.building import ollama

if TYPE_CHECKING:
    from pathlib import Path


class TestOllama(BackendContract):
    backend = OllamaBackend

    def build(self, folder: Path) -> Built:
        store = folder / "models"
        layers = {"model": b"weights" * 100, "template": b"{{ .Prompt }}", "license": b"MIT"}
        ollama.model(store, f"{ollama.LIBRARY}/llama3/8b", layers)
        ollama.model(store, f"{ollama.LIBRARY}/llama3/latest", {**layers, "params": b'{"stop":["x"]}'})
        ollama.model(store, "hf.co/org/base-GGUF/Q4_K_M", {"model": b"others", "projector": b"eyes"})
        unused = ollama.blob(store, b"no manifest names it")
        (store / "blobs" / f"sha256-{'a' * 64}-partial").write_bytes(b"half")
        (store / "blobs" / f"sha256-{'a' * 64}-partial-0").write_bytes(b"{}")
        (store / "blobs" / "sha256-2718281828").write_bytes(b"an upload that was cut short")
        (store / "blobs" / unused.name.upper()).write_bytes(b"no name of a blob")
        (store / "blobs" / f"sha256-{'b' * 64}").symlink_to(f"/nowhere/{'b' * 64}")
        (store / "manifests" / "registry.ollama.ai" / ".DS_Store").write_bytes(b"not Ollama's")
        blobs = (path for path in (store / "blobs").glob(f"sha256-{'?' * 64}") if not path.is_symlink())
        return Built(store, {os.path.relpath(path, store) for path in blobs})
