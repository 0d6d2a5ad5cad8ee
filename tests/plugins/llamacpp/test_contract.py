"""`llama-cpp` keeps the contract, on what its ``common/download.cpp`` of before March 2026 writes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from hubfold.testing import BackendContract, Built
from hubfold_plugins.llamacpp.cache import LlamaCppBackend

BASE, PICTURE, ASKED = (b"GGUF" + name * 3000 for name in (b"base", b"picture", b"asked"))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def manifest(**files: tuple[str, bytes]) -> bytes:
    """What the Hub answers: ``ggufFile`` and ``mmprojFile`` with their names and bytes."""
    told = {
        key: {"rfilename": name, "size": len(data), "lfs": {"sha256": sha256(data), "size": len(data)}}
        for key, (name, data) in files.items()
    }
    return json.dumps({"schemaVersion": 2, **told}).encode()


class TestLlamaCpp(BackendContract):
    backend = LlamaCppBackend

    def build(self, folder: Path) -> Built:
        cache = folder / ".cache/llama.cpp"
        content = {
            "org_base-GGUF_base-Q4_K_M.gguf": BASE,
            "org_base-GGUF_mmproj_base.gguf": PICTURE,
            "one_two_three_model.gguf": ASKED,
            "nobody_knows_it.gguf": b"GGUF?",
        }
        beside = {
            "manifest=org=base-GGUF=latest.json": manifest(
                ggufFile=("base-Q4_K_M.gguf", BASE), mmprojFile=("mmproj/base.gguf", PICTURE)
            ),
            "org_base-GGUF_base-Q4_K_M.gguf.etag": f'"{sha256(BASE)}"'.encode(),
            "one_two_three_model.gguf.json": json.dumps(
                {
                    "etag": f'"{sha256(ASKED)}"',
                    "lastModified": "",
                    "url": "https://huggingface.co/one/two_three/resolve/main/model.gguf",
                }
            ).encode(),
            "org_base-GGUF_base-Q8_0.gguf.downloadInProgress": b"half",
            "nobody_knows_it.gguf.etag": b'"5f3e-99"',
        }
        for name, data in (content | beside).items():
            (cache / name).parent.mkdir(parents=True, exist_ok=True)
            (cache / name).write_bytes(data)
        return Built(cache, set(content))
