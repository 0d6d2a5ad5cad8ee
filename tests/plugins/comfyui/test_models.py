"""ComfyUI beside a hub cache: its files become links, its folders stay, nothing of hubfold's lies in the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hubfold_plugins.comfyui.models import ComfyUiBackend
from tests.building.stores import Machine, model
from tests.building.tree import cache

WEIGHTS = model("sdxl")
FILE = "ComfyUI/models/checkpoints/sd_xl_base_1.0.safetensors"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    for name in (
        "folder_paths.py",
        "comfy/sd.py",
        "custom_nodes/x.py",
        "models/checkpoints/put_checkpoints_here",
    ):
        made.write(f"ComfyUI/{name}", b"")
    made.write(FILE, WEIGHTS)
    return made


def test_its_files_are_folded_read_only_and_the_plan_names_who_writes_there(machine: Machine) -> None:
    blob = machine.cached("stabilityai/sdxl", {"sd_xl_base_1.0.safetensors": WEIGHTS})[
        "sd_xl_base_1.0.safetensors"
    ]
    before = machine.census()
    [action] = machine.fold("ComfyUI").actions
    assert "since ComfyUI-Manager writes into its files" in action.reason
    assert (machine.home / FILE).read_bytes() == WEIGHTS
    assert blob.stat().st_mode & 0o222 == 0
    assert not [path for path in machine.census() if "/ComfyUI/" in path and ".hubfold" in path]
    machine.undo()
    assert machine.census() == before


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_sees_no_change_in_the_checkout_and_cleans_nothing_away(
    machine: Machine, other_drive: Path
) -> None:
    top = machine.home / "ComfyUI"

    def git(*arguments: str) -> str:
        line = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-C", str(top), *arguments]
        return subprocess.run(
            line, check=True, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}
        ).stdout

    # As ComfyUI's own has it: the shelves are ignored, but for what holds their place.
    machine.write("ComfyUI/.gitignore", "/models/\n/custom_nodes/\n")
    git("init", "-q")
    git("add", ".")
    git("add", "-f", "models/checkpoints/put_checkpoints_here")
    git("commit", "-qm", "x")
    (other_drive / "hub").mkdir()
    cache(str(other_drive / "hub"), "stabilityai/sdxl", {"x.safetensors": WEIGHTS})
    with machine.engine() as engine:
        engine.add_root(other_drive / "hub")
    [action] = machine.fold("ComfyUI").actions
    assert action.link == "symlink", "its cache is on another drive"
    assert git("status", "--porcelain") == ""
    git("clean", "-fd")
    git("reset", "--hard", "-q")
    assert (machine.home / FILE).is_symlink() and (machine.home / FILE).read_bytes() == WEIGHTS
    machine.undo()
    assert git("status", "--porcelain") == "" and not (machine.home / FILE).is_symlink()


@pytest.mark.parametrize("path", [".", "ComfyUI", "ComfyUI/models", "ComfyUI/models/checkpoints"])
def test_it_is_known_whatever_folder_of_it_is_named(machine: Machine, path: str) -> None:
    assert machine.backends(path)["ComfyUI/models"] == "comfyui"


def test_its_models_are_its_files_by_their_shelf(machine: Machine) -> None:
    machine.write("ComfyUI/models/loras/SD XL/style.safetensors", model("style"))
    machine.write("ComfyUI/models/loras/SD XL/style.preview.png", b"PNG")
    machine.write("ComfyUI/models/vae/late.safetensors", b"half")
    machine.write("ComfyUI/models/vae/late.safetensors.aria2", b"")
    with machine.engine() as engine:
        engine.add_root(machine.home / "ComfyUI")
    assert machine.models() == {
        "checkpoints/sd_xl_base_1.0.safetensors": {"comfyui": ["sd_xl_base_1.0.safetensors"]},
        "loras/SD XL/style.safetensors": {"comfyui": ["style.safetensors"]},
    }
    assert "not at its end" in machine.warnings()["ComfyUI/models/vae/late.safetensors"]
    with machine.engine() as engine:
        found = engine.model_path("loras/SD XL/style.safetensors", "style.safetensors")
    assert found == str(machine.home / "ComfyUI/models/loras/SD XL/style.safetensors")
    machine.remove("loras/SD XL/style.safetensors")
    assert os.listdir(machine.home / "ComfyUI/models/loras") == [], "the shelf stays"
    with machine.engine() as engine:
        engine.apply_removal(engine.plan_clean(older_than=0), "clean")
    assert not (machine.home / "ComfyUI/models/vae/late.safetensors").exists()


def test_a_hub_cache_on_a_shelf_is_a_hub_cache(machine: Machine) -> None:
    """Custom nodes download into one there."""
    cache(str(machine.home / "ComfyUI/models/LLM"), "org/vision", {"model.safetensors": WEIGHTS})
    found = machine.backends("ComfyUI")
    assert found["ComfyUI/models/LLM"] == "hub-cache"
    [action] = machine.fold("ComfyUI").actions
    assert Path(action.path) == machine.home / FILE or action.link == "hardlink"


def test_the_folders_that_its_settings_name_are_roots_with_it(machine: Machine) -> None:
    machine.write("big/ckpts/copy.safetensors", WEIGHTS)
    machine.write("big/lists/loras/style.safetensors", WEIGHTS)
    text = "big:\n    base_path: ../big\n    checkpoints: ckpts\n    loras: lists/loras\n    vae: no/such\n"
    machine.write("ComfyUI/extra_model_paths.yaml", text)
    with machine.engine() as engine:
        engine.add_root(machine.home / "ComfyUI")
    assert machine.backends() == dict.fromkeys(("big/ckpts", "big/lists/loras", "ComfyUI/models"), "comfyui")
    assert set(machine.models()) == {
        "checkpoints/sd_xl_base_1.0.safetensors",
        "ckpts/copy.safetensors",
        "loras/style.safetensors",
    }
    assert len(machine.fold().actions) == 2


def test_settings_that_name_a_home_or_everything_make_no_root(machine: Machine) -> None:
    machine.write("ComfyUI/extra_model_paths.yaml", "a:\n    base_path: /\n    x: .\n    y: home\n    z: ~\n")
    (machine.home / "ComfyUI/extra_model_paths.yaml").write_text(f"a:\n    x: /\n    y: {machine.home}\n")
    found = machine.backends("ComfyUI")
    assert set(found) == {"ComfyUI/models"}


def test_the_desktop_app_is_found_by_its_settings(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.write("Documents/ComfyUI/models/vae/x.safetensors", WEIGHTS)
    for name in ("custom_nodes", "input", "output", "user"):
        (machine.home / "Documents/ComfyUI" / name).mkdir()
    machine.write(
        ".config/ComfyUI/config.json", json.dumps({"basePath": str(machine.home / "Documents/ComfyUI")})
    )
    machine.write(
        ".config/ComfyUI/extra_models_config.yaml",
        f"comfyui_desktop:\n  base_path: {machine.home}/Documents/ComfyUI\n  vae: models/vae/\n",
    )
    assert machine.backends() == {"Documents/ComfyUI/models": "comfyui"}
    assert machine.backends("Documents")["Documents/ComfyUI/models"] == "comfyui"


@pytest.mark.parametrize(
    "config", ["", "[]", '{"basePath": 3}', '{"basePath": "relative"}', '{"basePath": "/a\\u0000"}']
)
def test_settings_that_are_none_are_no_stop(tmp_path: Path, config: str) -> None:
    folder = tmp_path / ".config/ComfyUI"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config)
    (folder / "extra_models_config.yaml").write_bytes(b"\xff\xfe")
    assert list(ComfyUiBackend.default_roots({"HOME": str(tmp_path)})) == []


def test_other_folders_with_models_are_none(tmp_path: Path) -> None:
    for names in (["models", "custom_nodes"], ["models", "folder_paths.py"], ["comfy", "folder_paths.py"]):
        assert ComfyUiBackend.recognise(str(tmp_path), names) is None
    (tmp_path / "shelf").mkdir()
    (tmp_path / "models").symlink_to("shelf")
    names = ["models", "comfy", "folder_paths.py"]
    assert ComfyUiBackend.recognise(str(tmp_path), names) is None, "a link is found where it leads"
    assert os.path.isdir(tmp_path / "models")
