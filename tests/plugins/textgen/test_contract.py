"""`text-generation-webui` keeps the contract, on what its own ``download-model.py`` writes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hubfold.testing import BackendContract, Built, safetensors
from hubfold_plugins.textgen.models import TextGenerationBackend


class TestTextGeneration(BackendContract):
    backend = TextGenerationBackend

    def build(self, folder: Path) -> Built:
        weights, lora = safetensors("weights", 9000), safetensors("lora", 9000)
        content = {
            "models/org_base/model.safetensors": weights,
            "models/org_base/config.json": b"{}",
            "models/single.Q4_K_M.gguf": b"GGUF" + b"one" * 3000,
            "models/split-00001-of-00002.gguf": b"GGUF" + b"two" * 3000,
            "models/split-00002-of-00002.gguf": b"GGUF" + b"three" * 3000,
            "models/place-your-models-here.txt": b"",
            "loras/org_lora/adapter_model.safetensors": lora,
        }
        beside = {
            "models/org_base/huggingface-metadata.txt": metadata("org/base", {"model.safetensors": weights}),
            "instruction-templates/Alpaca.yaml": b"",
            "characters/Assistant.yaml": b"",
            "logs/x.gguf": b"GGUF",
        }
        for name, data in (content | beside).items():
            path = folder / "textgen/user_data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return Built(folder / "textgen/user_data", set(content))


def metadata(repo_id: str, files: dict[str, bytes], branch: str = "main") -> bytes:
    sums = "\n".join(f"    {hashlib.sha256(data).hexdigest()} {name}" for name, data in files.items())
    head = f"url: https://huggingface.co/{repo_id}\nbranch: {branch}\ndownload date: 2026-05-03 10:00:00\n"
    return f"{head}sha256sum:\n{sums}\n".encode()
