"""One file of the Hub in the cache and in the stores of other programs: one payload, until undo parts it again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.building import ollama
from tests.building.clones import clone
from tests.building.data_versions import repository
from tests.building.stores import Machine, model
from tests.plugins.llamacpp.test_contract import manifest
from tests.plugins.textgen.test_contract import metadata
from tests.plugins.webui.test_contract import cache_json

GGUF, SDXL = model("base.gguf"), model("sdxl")
#: Where each program has it.
OF_GGUF = (
    ".lmstudio/models/org/base/base.gguf",
    ".cache/llama.cpp/org_base_base.gguf",
    ".cache/modelscope/models/org--base/snapshots/master/base.gguf",
    "textgen/user_data/models/org_base/base.gguf",
)
OF_SDXL = (
    "ComfyUI/models/checkpoints/sdxl.safetensors",
    "stable-diffusion-webui/models/Stable-diffusion/sdxl.safetensors",
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    for path, data in [(path, GGUF) for path in OF_GGUF] + [(path, SDXL) for path in OF_SDXL]:
        made.write(path, data)
    made.write(".cache/llama.cpp/manifest=org=base=latest.json", manifest(ggufFile=("base.gguf", GGUF)))
    made.write(
        "textgen/user_data/models/org_base/huggingface-metadata.txt",
        metadata("org/base", {"base.gguf": GGUF}),
    )
    for mark in (
        *("textgen/server.py", "textgen/download-model.py", "ComfyUI/folder_paths.py", "ComfyUI/comfy/sd.py"),
        *("stable-diffusion-webui/launch.py", "stable-diffusion-webui/extensions-builtin/x"),
    ):
        made.write(mark, b"")
    cache_json(
        made.home / "stable-diffusion-webui",
        **{"models/Stable-diffusion/sdxl.safetensors": "checkpoint/sdxl.safetensors"},
    )
    with made.engine() as engine:
        engine.add_root(made.home / "textgen")
        engine.add_root(made.home / "ComfyUI")
    return made


@pytest.mark.slow
def test_all_programs_and_the_cache_get_one_file_and_undo_gives_each_its_own(machine: Machine) -> None:
    gguf = machine.cached("org/base", {"base.gguf": GGUF})["base.gguf"]
    sdxl = machine.cached("stabilityai/sdxl", {"sdxl.safetensors": SDXL}, "b" * 40)["sdxl.safetensors"]
    before = machine.census()
    report = machine.fold()
    assert len(report.actions) == len(OF_GGUF) + len(OF_SDXL)
    for blob, paths in ((gguf, OF_GGUF), (sdxl, OF_SDXL)):
        for path in paths:
            assert (machine.home / path).samefile(blob), path
    assert set(machine.models()["org/base"]) == {
        *("hub-cache", "lm-studio", "llama-cpp", "modelscope", "text-generation-webui"),
    }
    with machine.engine() as engine:
        assert not engine.verify().problems
        assert not engine.doctor().findings
    machine.undo()
    assert machine.census() == before


def test_what_names_are_checked_hashes_is_found_unread(machine: Machine) -> None:
    for path in (*OF_GGUF[:1], *OF_GGUF[2:3], *OF_SDXL[:1]):
        os.unlink(machine.home / path)
    machine.cached("org/base", {"base.gguf": GGUF})
    machine.cached("stabilityai/sdxl", {"sdxl.safetensors": SDXL}, "b" * 40)
    with machine.engine() as engine:
        report = engine.scan()
    assert (report.duplicate_sets, report.bytes_read) == (2, 0)


def test_without_a_cache_they_fold_among_themselves_by_what_each_bears(machine: Machine) -> None:
    report = machine.fold()
    links = {os.path.relpath(one.path, machine.home): str(one.link) for one in report.actions}
    assert set(links.values()) == {"hardlink"}, "nobody has a vault there"
    assert not [path for path in machine.census() if ".hubfold" in path]
    assert not any((machine.home / path).is_symlink() for path in (*OF_GGUF, *OF_SDXL))


@pytest.mark.slow
def test_what_versions_keep_twice_is_the_same_file_too(machine: Machine) -> None:
    """A clone has it in its store and in its work tree, Ollama and DVC by its digest: with the cache one payload."""
    for path in (*OF_GGUF[1:], *OF_SDXL):
        os.unlink(machine.home / path)
    top = clone(machine.home / "work/clone", {"base.bin": GGUF})
    ollama.model(machine.home / ".ollama/models", f"{ollama.LIBRARY}/base/latest", {"model": GGUF})
    repository(machine.home / "work/experiment", {"base.gguf": GGUF}, linked=True)
    gguf = machine.cached("org/base", {"base.gguf": GGUF})["base.gguf"]
    with machine.engine() as engine:
        engine.add_root(machine.home / "work")
        unread = engine.scan()
    # LM Studio states nothing, and md5 has to be led to sha256: each of the two is read once.
    assert unread.bytes_read == 2 * len(GGUF)
    before = machine.census()
    assert len(machine.fold().actions) == 6
    stores = (OF_GGUF[0], "work/clone/base.bin", "work/experiment/base.gguf")
    hidden = (*top.rglob(".git/lfs/objects/*/*/*"), *(machine.home / ".ollama/models/blobs").glob("sha256-*"))
    objects = (machine.home / "work/experiment/.dvc/cache/files/md5").glob("*/*")
    for path in (*(machine.home / one for one in stores), *objects, *hidden):
        assert path.samefile(gguf) or path.stat().st_size < 1000, path
    with machine.engine() as engine:
        assert not engine.verify().problems
        assert not engine.doctor().findings
    machine.undo()
    assert machine.census() == before
