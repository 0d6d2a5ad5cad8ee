"""The store of RamaLama keeps the contract."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold.testing import BackendContract, Built
from hubfold_plugins.ramalama.store import RamaLamaBackend
from tests.building import ramalama

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS, PARTS = b"weights" * 100, b"the second part"


class TestRamaLama(BackendContract):
    backend = RamaLamaBackend

    def build(self, folder: Path) -> Built:
        store = folder / "ramalama" / "store"
        split = [
            ("a-00001-of-00002.gguf", "gguf", WEIGHTS),
            ("a-00002-of-00002.gguf", "other", PARTS),
            ("sub/config.json", "other", b"{}"),
            ("chat_template_extracted", "chat_template", b"{{ x }}"),
        ]
        whole = ramalama.model(store, "huggingface/org/base", split)
        ramalama.model(store, "huggingface/org/base", [*split[:2], ("b.gguf", "mmproj", b"eyes")], tag="v2")
        ramalama.model(store, "huggingface/org/base/alone.gguf", [("alone.gguf", "gguf", b"alone")])
        ramalama.model(
            store, "ollama/library/llama3", [("model", "gguf", b"of ollama")], tag="8b", split=True
        )
        ramalama.model(store, "https/example.org/x.gguf", [("x.gguf", "gguf", b"from an address")])
        unused = whole / "blobs" / ramalama.by_content(b"unused")
        unused.write_bytes(b"unused")
        (whole / "blobs" / f"{ramalama.by_content(b'half')}.partial").write_bytes(b"half")
        (store / "tmp_hfcli_x").mkdir()
        (store / "tmp_hfcli_x" / "model.gguf").write_bytes(b"comes")
        found = [
            path
            for part in ("blobs", "snapshots")
            for path in store.glob(f"**/{part}/**/*")
            if path.is_file() and not path.name.endswith(".partial") and path.read_bytes() != b"{{ x }}"
        ]
        return Built(store, {os.path.relpath(path, store) for path in found})
