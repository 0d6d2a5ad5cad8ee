"""`comfyui` keeps the contract, on the folders of a checkout."""

from __future__ import annotations

from pathlib import Path

from hubfold.testing import BackendContract, Built, safetensors
from hubfold_plugins.comfyui.models import ComfyUiBackend


class TestComfyUi(BackendContract):
    backend = ComfyUiBackend

    def build(self, folder: Path) -> Built:
        base = folder / "ComfyUI"
        content = {
            "models/checkpoints/put_checkpoints_here": b"",
            "models/checkpoints/base.safetensors": safetensors("base", 9000),
            "models/checkpoints/base.yaml": b"model:",
            "models/loras/SDXL/style one.safetensors": safetensors("style", 9000),
            "models/loras/SDXL/style one.preview.png": b"PNG",
            "models/diffusers/org-name/model_index.json": b"{}",
            "models/diffusers/org-name/unet/model.safetensors": safetensors("unet", 9000),
        }
        beside = {
            "models/vae/half.safetensors": b"half",
            "models/vae/half.safetensors.aria2": b"",
            "folder_paths.py": b"",
            "comfy/model_base.py": b"",
            "custom_nodes/x/model.pth": b"",
        }
        for name, data in (content | beside).items():
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_bytes(data)
        return Built(base / "models", {name.removeprefix("models/") for name in content})
