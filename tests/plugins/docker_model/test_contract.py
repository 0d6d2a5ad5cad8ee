"""The store of Docker Model Runner keeps the contract."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold.testing import BackendContract, Built
from hubfold_plugins.docker_model.store import DockerModelBackend
from tests.building import docker_model

if TYPE_CHECKING:
    from pathlib import Path


class TestDockerModel(BackendContract):
    backend = DockerModelBackend

    def build(self, folder: Path) -> Built:
        store = folder / "models"
        layers = {"gguf.v3": b"weights" * 100, "license": b"MIT"}
        one = docker_model.model(store, ["docker.io/ai/base:latest", "docker.io/ai/base:Q4"], layers)
        docker_model.model(store, [], {"gguf.v3": b"others", "mmproj": b"eyes"}, unpacked=False)
        archived = store / "bundles/sha256" / one.name / "model/tokenizer.json"
        archived.write_bytes(b"{}")
        docker_model.blob(store, b"no model names it")
        long = store / "blobs/sha512" / ("a" * 128)
        long.parent.mkdir()
        long.write_bytes(b"by another digest")
        (store / "blobs/sha256" / f"{'b' * 64}.incomplete").write_bytes(b"half")
        (store / "blobs/sha256" / "odd").write_bytes(b"no digest")
        blobs = [path for path in (store / "blobs").glob("*/*") if len(path.name) in (64, 128)]
        bundled = store.glob("bundles/sha256/*/model/*")
        return Built(store, {os.path.relpath(path, store) for path in (*blobs, *bundled)})

    def program_is_content(self, built: Built) -> None:
        """Its bundles read what its blobs are, and are made again by `os.Link`."""
        for folder in built.root.glob("bundles/sha256/*/model"):
            content = (folder / "model.gguf").read_bytes()
            again = built.root / "bundles/again.gguf"
            os.link(docker_model.blob_of(built.root, content), again, follow_symlinks=False)
            assert not again.is_symlink() and again.read_bytes() == content
            again.unlink()
