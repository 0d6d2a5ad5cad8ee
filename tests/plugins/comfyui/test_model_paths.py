"""``extra_model_paths.yaml``: which folders it names, whoever wrote it."""

from __future__ import annotations

import os

import pytest

from hubfold_plugins.comfyui.model_paths import folders

EXAMPLE = """
#Rename this to extra_model_paths.yaml
a111:
    base_path: path/to/stable-diffusion-webui/

    checkpoints: models/Stable-diffusion
    configs: models/Stable-diffusion
    loras: |
         models/Lora
         models/LyCORIS
    upscale_models: |
                  models/ESRGAN
                  models/RealESRGAN
    embeddings: embeddings  # of its own
    controlnet: 'models/ControlNet'

#comfyui:
#     base_path: path/to/comfyui/

other_ui:
    base_path: "$BIG/more"
    is_default: true
    checkpoints: ckpts
    gligen: /elsewhere/gligen
    custom_nodes: path/custom_nodes
"""


def test_the_example_of_the_program_is_read() -> None:
    assert folders(EXAMPLE, "/srv/ComfyUI", {"BIG": "/big", "HOME": "/home/ana"}) == [
        "/srv/ComfyUI/path/to/stable-diffusion-webui/models",
        "/srv/ComfyUI/path/to/stable-diffusion-webui/embeddings",
        "/big/more/ckpts",
        "/elsewhere/gligen",
    ]


def test_pyyaml_reads_the_same() -> None:
    yaml = pytest.importorskip("yaml")
    environ = {"BIG": "/big", "HOME": "/home/ana"}
    bases = {"a111": "/c/path/to/stable-diffusion-webui", "other_ui": "/big/more"}
    named = [
        os.path.normpath(os.path.join(bases[name], folder.strip()))
        for name, section in yaml.safe_load(EXAMPLE).items()
        for key, value in section.items()
        if key not in ("base_path", "is_default", "custom_nodes")
        for folder in value.splitlines()
    ]
    assert len(named) == 10
    found = folders(EXAMPLE, "/c", environ)
    # Of several in one models/ that is told.
    assert {one for one in named if not any(f"{one}/".startswith(f"{top}/") for top in found)} == set()
    assert len(found) == 4


def test_a_home_is_filled_in_and_a_file_without_a_base_is_relative_to_itself() -> None:
    assert folders("x:\n  base_path: ~/m\n  vae: vae\n", "/c", {"HOME": "/home/ana"}) == ["/home/ana/m/vae"]
    assert folders("x:\n  vae: ../vae\n", "/c/d", {}) == ["/c/vae"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "a: b",
        "\0",
        "x:\n  - list\n",
        "x:\n  vae:\n",
        "%YAML 1.2\n---\n",
        "x: {vae: y}",
        "&a *a: !!python/x y",
    ],
)
def test_what_names_no_folder_names_none(text: str) -> None:
    assert folders(text, "/c", {}) == []


@pytest.mark.slow
def test_a_file_without_an_end_has_one() -> None:
    text = "x:\n" + "".join(f"  k{number}: /a{number}/b\n" for number in range(100_000))
    assert len(folders(text, "/c", {})) == 500
    assert folders("x:\n  vae: |\n" + "    a\n" * 100_000, "/c", {}) == ["/c/a"]
