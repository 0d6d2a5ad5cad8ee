"""ModelScope's cache: revisions are one file where they are the same, and its clients' locks are taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.content import Root
from hubfold_plugins.modelscope.cache import ModelScopeBackend
from tests.building.stores import Machine, model

WEIGHTS = model("weights")
CACHE = ".cache/modelscope"
NEW = f"{CACHE}/models/org--tiny1.5/snapshots"
OLD = f"{CACHE}/hub/models/org/tiny1___5"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    for revision in ("master", "v1"):
        made.write(f"{NEW}/{revision}/model.safetensors", WEIGHTS)
        made.write(f"{NEW}/{revision}/config.json", revision)
    return made


def old(machine: Machine) -> None:
    machine.write(f"{OLD}/model.safetensors", WEIGHTS)
    machine.write(f"{OLD}/.mv", "Revision:v2,CreatedAt:1700000000")
    machine.write(f"{OLD}/.msc", b"\x80\x04cposix\nsystem\n")
    (machine.home / OLD).with_name("tiny1.5").symlink_to(machine.home / OLD)


def test_the_revisions_of_a_model_are_one_file_and_that_of_the_hub_cache(machine: Machine) -> None:
    blob = machine.cached("org/tiny1.5", {"model.safetensors": WEIGHTS})["model.safetensors"]
    old(machine)
    before = machine.census()
    report = machine.fold()
    assert [one.link for one in report.actions] == ["hardlink"] * 3
    for place in (f"{NEW}/master", f"{NEW}/v1", OLD):
        assert (machine.home / place / "model.safetensors").samefile(blob)
    machine.undo()
    assert machine.census() == before


def test_models_are_told_with_their_revisions_in_both_layouts(machine: Machine) -> None:
    old(machine)
    machine.write(f"{NEW}/v1/late.safetensors.incomplete", b"half")
    with machine.engine() as engine:
        [found] = engine.library().models
    told = {
        one.revision: sorted(file.name for file in one.files)
        for place in found.places
        for one in place.revisions
    }
    assert (found.repo_id, told) == (
        "org/tiny1.5",
        {
            "master": ["config.json", "model.safetensors"],
            "v1": ["config.json", "model.safetensors"],
            "v2": ["model.safetensors"],
        },
    )


def test_one_revision_goes_alone_and_the_model_with_all_that_is_its(machine: Machine) -> None:
    old(machine)
    with machine.engine() as engine:
        done = engine.apply_removal(engine.plan_remove(["org/tiny1.5"], "v1", with_copies=True))
        assert not done.failed
    assert os.listdir(machine.home / NEW) == ["master"]
    machine.remove("org/tiny1.5")
    assert not (machine.home / OLD).with_name("tiny1.5").is_symlink()
    assert not (machine.home / f"{CACHE}/hub/models").exists()
    assert not machine.models()


def test_the_pickles_of_earlier_clients_are_never_opened(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubfold.testing import opened

    old(machine)
    with opened() as paths:
        machine.models()
        machine.backends()
    assert not {path for path in paths if path.endswith((".msc", ".mdl"))}


def test_the_locks_are_those_of_the_clients(machine: Machine) -> None:
    root = Root(str(machine.home / CACHE), "modelscope")

    def locks(path: str) -> list[str]:
        found = ModelScopeBackend().lock_paths(root, str(machine.home / path))
        return [os.path.relpath(one, root.path) for one in found]

    # As `DownloadManager._lock_path` of modelscope_hub 0.5.1 made it for ("model", "org/tiny1.5", "config.json").
    assert (
        locks(f"{NEW}/v1/config.json")[0]
        == ".lock/file_0abc71fcb847badc34234d456503b0338542bf58c6980028ad923e3f0b14191d.lock"
    )
    assert locks(f"{NEW}/v1/config.json") == locks(f"{NEW}/master/config.json")
    assert locks(f"{OLD}/config.json") == [*locks(f"{NEW}/v1/config.json"), "hub/.lock/org___tiny1.5"]
    assert locks(f"{NEW}/v1/config.json.incomplete") == locks(f"{NEW}/v1/config.json")
    assert locks(f"{CACHE}/.lock/x") == locks(f"{CACHE}/models/x") == []


def test_what_was_cut_short_is_told_and_cleaned_away(machine: Machine) -> None:
    for name in ("a.bin.incomplete", "a.bin.parallel_tmp", "a.bin_0_167772159"):
        machine.write(f"{NEW}/v1/{name}", b"half")
    machine.write(f"{CACHE}/hub/models/._____temp/org/tiny1.5/half.bin", b"half")
    machine.write(f"{CACHE}/.lock/file_{'0' * 64}.lock", b"")
    assert len(machine.warnings()) == 3
    with machine.engine() as engine:
        engine.apply_removal(engine.plan_clean(older_than=0), "clean")
    assert sorted(os.listdir(machine.home / NEW / "v1")) == ["config.json", "model.safetensors"]
    assert not (machine.home / f"{CACHE}/hub/models/._____temp/org/tiny1.5/half.bin").exists()


@pytest.mark.parametrize(
    "layout", ["models/org--a/snapshots/master", "hub/models/org/a", "models/org/a", "hub/org/a"]
)
def test_a_cache_is_known_wherever_it_lies(tmp_path: Path, layout: str) -> None:
    machine = Machine(tmp_path)
    machine.write(f"big/ms/{layout}/model.bin", WEIGHTS)
    machine.write(f"big/ms/{layout}/.msc", b"")
    for path in ("big/ms", f"big/ms/{layout}", "big"):
        assert machine.backends(path)["big/ms"] == "modelscope", path


def test_other_folders_with_these_names_are_none(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.cached("org/base", {"model.bin": WEIGHTS})
    machine.write("app/models/pub/repo/x.gguf", WEIGHTS)
    machine.write("app/hub/readme", b"")
    for path in (".cache/huggingface", "app"):
        place = str(machine.home / path)
        assert ModelScopeBackend.recognise(place, os.listdir(place)) is None


def test_the_place_is_that_of_the_program(tmp_path: Path) -> None:
    def places(**environ: str) -> list[str]:
        roots = ModelScopeBackend.default_roots({"HOME": str(tmp_path), **environ})
        return [os.path.relpath(root, tmp_path) for root in roots]

    assert places() == [CACHE]
    assert places(MODELSCOPE_CACHE=str(tmp_path / "ms")) == ["ms", CACHE]
    assert places(MODELSCOPE_CACHE="~/ms") == ["ms", CACHE]


def test_whatever_lies_in_it_costs_only_itself(machine: Machine) -> None:
    top = machine.home / CACHE / "models"
    os.mkfifo(top / "fifo--x")
    (top / "loop--x").symlink_to(".")
    (top / "--").mkdir()
    (top / "org--odd/snapshots/..x").mkdir(parents=True)
    os.mkfifo(top / "org--odd/snapshots/..x/fifo.bin")
    (top / "org--odd/snapshots/..x/gone.bin").symlink_to("nowhere")
    machine.write(f"{CACHE}/hub/models/a/b/.mv", "Revision:../../x,CreatedAt:1")
    machine.write(f"{CACHE}/hub/models/a/b/x.bin", b"x")
    assert set(machine.models()) == {"org/tiny1.5", "a/b"}
