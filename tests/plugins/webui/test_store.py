"""Web interfaces for images beside a hub cache: believed by their own notes, folded without being hashed again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hubfold_plugins.webui.store import WebUiBackend
from tests.building.stores import Machine, model
from tests.plugins.webui.test_contract import cache_json, diskcache, invoke_db, sha256

WEIGHTS = model("sdxl")
WEBUI = "stable-diffusion-webui"
FILE = f"{WEBUI}/models/Stable-diffusion/sd_xl_base_1.0.safetensors"
TITLES = {"models/Stable-diffusion/sd_xl_base_1.0.safetensors": "checkpoint/sd_xl_base_1.0.safetensors"}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    for name in ("launch.py", "extensions-builtin/x.py"):
        made.write(f"{WEBUI}/{name}", b"")
    made.write(FILE, WEIGHTS)
    return made


@pytest.mark.parametrize("noting", [cache_json, diskcache])
def test_it_is_one_file_with_the_hub_cache_and_neither_hubfold_nor_its_program_read_it(
    machine: Machine, noting: object
) -> None:
    blob = machine.cached("stabilityai/sdxl", {"sd_xl_base_1.0.safetensors": WEIGHTS})[
        "sd_xl_base_1.0.safetensors"
    ]
    os.utime(blob)  # later than the note
    assert callable(noting)
    noting(machine.home / WEBUI, **TITLES)
    noted = os.path.getmtime(machine.home / FILE)
    before = machine.census()
    with machine.engine() as engine:
        report = engine.scan()
        assert (report.duplicate_sets, report.bytes_read) == (1, 0)
        [action] = engine.apply(engine.plan()).actions
    file = machine.home / FILE
    assert file.samefile(blob) and action.path == str(file)
    # `sha256_from_cache`: what was noted counts unless the file is later than the note.
    assert os.path.getmtime(file) <= noted
    machine.undo()
    assert machine.census() == before


@pytest.mark.parametrize("noting", [cache_json, diskcache])
def test_what_is_noted_later_is_seen_of_a_file_that_did_not_change(machine: Machine, noting: object) -> None:
    with machine.engine() as engine:
        engine.scan()
    assert callable(noting)
    noting(machine.home / WEBUI, **TITLES)
    machine.cached("stabilityai/sdxl", {"sd_xl_base_1.0.safetensors": WEIGHTS})
    with machine.engine() as engine:
        report = engine.scan()
    assert (report.duplicate_sets, report.bytes_read) == (1, 0)


def test_a_note_of_another_file_is_not_believed(machine: Machine) -> None:
    cache_json(machine.home / WEBUI, **TITLES)
    machine.write(FILE, model("another"))
    os.utime(machine.home / FILE)
    machine.cached("stabilityai/sdxl", {"x.safetensors": WEIGHTS})
    with machine.engine() as engine:
        assert engine.scan().duplicate_sets == 0
        assert not engine.verify().problems


def test_its_models_are_its_files_by_their_shelf(machine: Machine) -> None:
    machine.write(f"{WEBUI}/models/Lora/my style.safetensors", model("style"))
    machine.write(f"{WEBUI}/models/Lora/my style.civitai.info", "{}")
    machine.write(f"{WEBUI}/embeddings/bad.pt", model("bad"))
    machine.write(f"{WEBUI}/extensions/controlnet/models/canny.pth", model("canny"))
    assert set(machine.models()) == {
        "Stable-diffusion/sd_xl_base_1.0.safetensors",
        "Lora/my style.safetensors",
        "embeddings/bad.pt",
        "extensions/controlnet/models/canny.pth",
    }
    machine.remove("Lora/my style.safetensors")
    assert os.listdir(machine.home / WEBUI / "models/Lora") == [], "the shelf stays"
    machine.remove("extensions/controlnet/models/canny.pth")
    assert len(machine.models()) == 2


@pytest.mark.parametrize("path", [".", WEBUI, f"{WEBUI}/models", f"{WEBUI}/models/Stable-diffusion"])
def test_it_is_known_whatever_folder_of_it_is_named(machine: Machine, path: str) -> None:
    machine.home.joinpath(WEBUI).rename(machine.home / "elsewhere")
    found = machine.backends(path.replace(WEBUI, "elsewhere"))
    assert found["elsewhere"] == "webui"


@pytest.mark.slow
def test_stability_matrix_is_known_and_its_links_are_never_gone_through(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.write("SM/settings.json", "{}")
    machine.write("SM/Models/StableDiffusion/base.safetensors", WEIGHTS)
    info = {"ModelName": "SDXL", "Hashes": {"SHA256": sha256(WEIGHTS).upper()}}
    machine.write("SM/Models/StableDiffusion/base.cm-info.json", json.dumps(info))
    machine.write("SM/Packages/ComfyUI/folder_paths.py", b"")
    machine.write("SM/Packages/ComfyUI/comfy/x.py", b"")
    (machine.home / "SM/Packages/ComfyUI/models").mkdir()
    link = machine.home / "SM/Packages/ComfyUI/models/checkpoints"
    link.symlink_to(machine.home / "SM/Models/StableDiffusion")
    machine.write(
        ".config/StabilityMatrix/library.json", json.dumps({"LibraryPath": str(machine.home / "SM")})
    )
    machine.cached("stabilityai/sdxl", {"x.safetensors": WEIGHTS})
    with machine.engine() as engine:
        report = engine.scan()
        assert (report.duplicate_sets, report.bytes_read) == (1, 0)
        assert "webui" in {root.backend for root in report.roots}
        [_] = engine.apply(engine.plan()).actions
    assert link.is_symlink() and (link / "base.safetensors").read_bytes() == WEIGHTS
    assert "StableDiffusion/base.safetensors" in machine.models()
    machine.remove("StableDiffusion/base.safetensors")
    assert os.listdir(machine.home / "SM/Models/StableDiffusion") == []


def test_invoke_has_the_models_that_its_database_names_and_removes_them_itself(tmp_path: Path) -> None:
    machine = Machine(tmp_path, INVOKEAI_ROOT=str(tmp_path / "home/invoke"))
    machine.write("invoke/invokeai.yaml", "schema_version: 4.0.2")
    machine.write("invoke/models/9f8e/model_index.json", "{}")
    machine.write("invoke/models/9f8e/unet/model.safetensors", WEIGHTS)
    machine.write("invoke/models/tmpinstall_x/half.safetensors", WEIGHTS)
    invoke_db(machine.home / "invoke", ("9f8e", "SDXL", "main", "stabilityai/sdxl-turbo"))
    machine.cached("stabilityai/sdxl-turbo", {"unet/model.safetensors": WEIGHTS})
    assert machine.models()["stabilityai/sdxl-turbo"] == {
        "hub-cache": ["unet/model.safetensors"],
        "webui": ["model_index.json", "unet/model.safetensors"],
    }
    assert len(machine.fold().actions) == 1
    machine.remove("stabilityai/sdxl-turbo")
    assert (machine.home / "invoke/models/9f8e/unet/model.safetensors").read_bytes() == WEIGHTS


def test_the_places_are_those_of_the_installers(tmp_path: Path) -> None:
    def places(**environ: str) -> list[str]:
        roots = WebUiBackend.default_roots({"HOME": str(tmp_path), **environ})
        return [os.path.relpath(root, tmp_path) for root in roots]

    usual = [WEBUI, "invokeai", "StabilityMatrix/Models"]
    assert places() == usual
    assert places(INVOKEAI_ROOT=str(tmp_path / "i")) == ["i", *usual]
    library = tmp_path / ".config/StabilityMatrix/library.json"
    library.parent.mkdir(parents=True)
    for text in ("", "[]", '{"LibraryPath": 3}', '{"LibraryPath": "relative"}', "[" * 100_000):
        library.write_text(text)
        assert places() == usual
    library.write_text('{"LibraryPath": "/big/SM/"}')
    assert "/big/SM/Models" in WebUiBackend.default_roots({"HOME": str(tmp_path)})


def test_other_folders_with_these_names_are_none(tmp_path: Path) -> None:
    for names in (["models", "launch.py"], ["Models", "Packages"], ["models", "Packages"], ["invokeai.yaml"]):
        assert WebUiBackend.recognise(str(tmp_path), names) is None
