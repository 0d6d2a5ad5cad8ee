"""Which files of a repository of the Hub go on which shelf of a program for images."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubfold.content import Root, Snapshot, SnapshotFile
from hubfold.scanning.walk import TreeWalk
from hubfold_plugins import kinds
from hubfold_plugins.comfyui.models import ComfyUiBackend
from hubfold_plugins.webui.store import WebUiBackend


def snapshot(*names: str, repo_id: str = "org/base", repo_type: str = "model") -> Snapshot:
    files = tuple(SnapshotFile(name, f"/hub/{name}", 1) for name in names)
    return Snapshot(repo_id, repo_type, "a" * 40, ("main",), "/hub", files=files)


def shelved(*names: str, repo_id: str = "org/base", repo_type: str = "model") -> dict[str, str]:
    """The shelf of each file that has one."""
    found = kinds.on_shelves(snapshot(*names, repo_id=repo_id, repo_type=repo_type))
    return {name: kind for kind, _, name in found}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sd_xl_base_1.0.safetensors", "checkpoints"),
        ("split_files/diffusion_models/wan_14B.safetensors", "diffusion_models"),
        ("split_files/clip/t5.safetensors", "text_encoders"),
        ("split_files/loras/style.safetensors", "loras"),
        ("vae/diffusion_pytorch_model.safetensors", "vae"),
        ("text_encoder_2/model.fp16.safetensors", "text_encoders"),
        ("transformer/diffusion_pytorch_model.safetensors", "diffusion_models"),
        ("sdxl_lightning_4step_lora.safetensors", "loras"),
        ("control_v11p_sd15_canny.pth", "controlnet"),
        ("diffusion-controlnet-canny.safetensors", "controlnet"),
        ("ae-vae.safetensors", "vae"),
        ("RealESRGAN_x4plus.pth", "upscale_models"),
        ("t5xxl_fp8_e4m3fn.safetensors", "text_encoders"),
        ("scheduler/x.safetensors", ""),
        ("safety_checker/model.safetensors", ""),
        ("transformer/model-00001-of-00003.safetensors", ""),
        ("README.md", ""),
        ("base.gguf", ""),
        ("explorations.safetensors", "checkpoints"),
    ],
)
def test_a_file_is_what_its_folder_or_its_name_says(name: str, kind: str) -> None:
    assert shelved(name) == ({name: kind} if kind else {})


def test_a_repository_says_what_its_files_do_not() -> None:
    assert shelved("pytorch_lora_weights.safetensors", repo_id="org/x") == {
        "pytorch_lora_weights.safetensors": "loras"
    }
    assert shelved("weights.safetensors", repo_id="org/style-LoRA") == {"weights.safetensors": "loras"}


def test_a_model_of_transformers_is_none_of_theirs() -> None:
    assert not shelved("model.safetensors", "config.json")
    assert not shelved("base.safetensors", repo_type="dataset")
    assert not shelved("base.safetensors", repo_id="../x")


def test_of_one_model_in_two_formats_the_safe_one_has_the_place() -> None:
    assert shelved("vae/x.pt", "vae/x.safetensors") == {"vae/x.safetensors": "vae"}


def test_each_program_has_it_where_it_looks(tmp_path: Path) -> None:
    one = snapshot("base.safetensors", "style-lora.safetensors", "unet/x.safetensors")

    def names(backend: ComfyUiBackend | WebUiBackend, path: str) -> set[str]:
        root = Root(f"{tmp_path}/{path}", backend.name)
        return {file.name for file in backend.shown(root, one, TreeWalk(root, {}))}

    assert names(ComfyUiBackend(), "comfy/models") == {
        "checkpoints/org/base/base.safetensors",
        "loras/org/base/style-lora.safetensors",
        "diffusion_models/org/base/x.safetensors",
    }
    assert names(WebUiBackend(), "webui") == {
        "models/Stable-diffusion/org/base/base.safetensors",
        "models/Lora/org/base/style-lora.safetensors",
        "models/Stable-diffusion/org/base/x.safetensors",
    }
    assert names(WebUiBackend(), "matrix/Models") == {
        "StableDiffusion/org/base/base.safetensors",
        "Lora/org/base/style-lora.safetensors",
        "DiffusionModels/org/base/x.safetensors",
    }


def test_invoke_reads_its_database_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "invokeai.yaml").touch()
    root = Root(str(tmp_path), "webui")
    assert not list(WebUiBackend().shown(root, snapshot("base.safetensors"), TreeWalk(root, {})))
