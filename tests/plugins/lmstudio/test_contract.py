"""`lm-studio` keeps the contract, on a folder as the program's documentation has it."""

from __future__ import annotations

from pathlib import Path

from hubfold.testing import BackendContract, Built, safetensors
from hubfold_plugins.lmstudio.models import LmStudioBackend


class TestLmStudio(BackendContract):
    backend = LmStudioBackend

    def build(self, folder: Path) -> Built:
        models = folder / ".lmstudio/models"
        content = {
            "org/base-GGUF/base-Q4_K_M.gguf": b"GGUF" + b"weights" * 3000,
            "org/base-GGUF/mmproj-base.gguf": b"GGUF" + b"picture" * 2000,
            "mlx-community/base-4bit/config.json": b"{}",
            "mlx-community/base-4bit/model.safetensors": safetensors("mlx", 9000),
        }
        beside = {
            "org/base-GGUF/base-Q8_0.gguf.part": b"half",
            "org/base-GGUF/.DS_Store": b"",
            "too-high.gguf": b"GGUF no model",
            "org/deep/er/too-deep.gguf": b"GGUF no model",
        }
        for name, data in (content | beside).items():
            (models / name).parent.mkdir(parents=True, exist_ok=True)
            (models / name).write_bytes(data)
        (folder / ".lmstudio/settings.json").write_text("{}")
        return Built(models, set(content))
