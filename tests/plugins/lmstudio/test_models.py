"""LM Studio's folder beside a hub cache: never a symlink, never a vault, one model under one name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from hubfold import LinkKind
from hubfold.content import Root
from hubfold_plugins.lmstudio.models import LmStudioBackend
from tests.building.stores import Machine, model

GGUF = model("base.gguf")
FILE = ".lmstudio/models/org/base-GGUF/base.Q4_K_M.gguf"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.write(FILE, GGUF)
    made.write(".lmstudio/settings.json", "{}")
    return made


def defaults(home: Path) -> list[str]:
    return [os.path.relpath(root, home) for root in LmStudioBackend.default_roots({"HOME": str(home)})]


def test_both_programs_get_one_file_and_undo_gives_each_its_own(machine: Machine) -> None:
    blob = machine.cached("org/base-GGUF", {"base.Q4_K_M.gguf": GGUF})["base.Q4_K_M.gguf"]
    before = machine.census()
    report = machine.fold()
    assert [one.link for one in report.actions] == [LinkKind.HARDLINK]
    store = machine.home / FILE
    assert store.samefile(blob) and not store.is_symlink()
    assert {path: one.digest for path, one in machine.census().items()} == {
        path: one.digest for path, one in before.items()
    }
    machine.undo()
    assert machine.census() == before
    assert not store.samefile(blob)


@pytest.mark.parametrize("scanned", [".", "llms", ".lmstudio/models/org/base-GGUF", ""])
@pytest.mark.parametrize("link", [None, LinkKind.SYMLINK])
def test_no_symlink_comes_in_by_whatever_way(machine: Machine, link: LinkKind | None, scanned: str) -> None:
    """A store that was moved, that `hf download` has filled, and that a user names by a folder of it."""
    machine.write(".lmstudio/settings.json", json.dumps({"downloadsFolder": str(machine.home / "llms/lm")}))
    machine.write("llms/lm/org/mlx/model.safetensors", GGUF)
    machine.write("llms/lm/org/mlx/.cache/huggingface/download/model.safetensors.metadata", "x\ny\n1\n")
    machine.write("llms/a/copy.gguf", GGUF)
    machine.cached("org/base-GGUF", {"base.Q4_K_M.gguf": GGUF})
    paths = [scanned] if scanned else []
    machine.fold(*paths, link=link)
    for top in (".lmstudio", "llms/lm"):
        for folder, folders, files in os.walk(machine.home / top):
            assert not [name for name in (*folders, *files) if (Path(folder) / name).is_symlink()]
            assert not [name for name in (*folders, *files) if name.startswith(".hubfold")]


def test_a_copy_elsewhere_gets_a_hard_link_where_no_cache_has_a_vault(machine: Machine) -> None:
    copy = machine.write("zoo/copy.gguf", GGUF)
    [action] = machine.fold(".").actions
    assert action.link == LinkKind.HARDLINK
    assert copy.samefile(machine.home / FILE)
    assert not (machine.home / ".lmstudio/models/.hubfold").exists()


def test_on_another_drive_it_stays_with_the_reason(machine: Machine, other_drive: Path) -> None:
    machine.write(".lmstudio/settings.json", json.dumps({"downloadsFolder": str(other_drive / "lm")}))
    (other_drive / "lm/org/x").mkdir(parents=True)
    (other_drive / "lm/org/x/x.gguf").write_bytes(GGUF)
    machine.cached("org/base-GGUF", {"base.Q4_K_M.gguf": GGUF})
    left = {one.path: one.reason for one in machine.fold().skipped}
    assert "tolerates no symlink" in left[str(other_drive / "lm/org/x/x.gguf")]


def test_it_is_the_same_model_as_that_of_the_cache(machine: Machine) -> None:
    machine.cached("org/base-GGUF", {"base.Q4_K_M.gguf": GGUF})
    machine.write(".lmstudio/models/org/base-GGUF/other.Q8_0.gguf.part", b"half")
    assert machine.models() == {
        "org/base-GGUF": {"hub-cache": ["base.Q4_K_M.gguf"], "lm-studio": ["base.Q4_K_M.gguf"]}
    }
    told = machine.warnings()
    assert "not at its end" in told[".lmstudio/models/org/base-GGUF/other.Q8_0.gguf.part"]
    machine.remove("org/base-GGUF")
    assert not (machine.home / ".lmstudio/models/org").exists()


def test_what_the_program_loads_is_no_redundant_copy(machine: Machine) -> None:
    machine.cached("org/base-GGUF", {"base.Q4_K_M.gguf": GGUF})
    with machine.engine() as engine:
        assert not engine.plan_redundant().removals
        plan = engine.plan_redundant([machine.home / ".lmstudio/models/org"])
        assert not plan.removals
        assert [one.reason for one in engine.preview_removal(plan).left] == ["LM Studio has its models there"]


def test_homes_of_all_releases_are_found(tmp_path: Path) -> None:
    assert defaults(tmp_path) == [".lmstudio/models", ".cache/lm-studio/models"]
    (tmp_path / ".lmstudio-home-pointer").write_text(f"{tmp_path}/apps/lms\n")
    (tmp_path / "apps/lms").mkdir(parents=True)
    (tmp_path / "apps/lms/settings.json").write_text('{"downloadsFolder": "../big"}')
    assert defaults(tmp_path) == [
        "apps/big",
        "apps/lms/models",
        ".lmstudio/models",
        ".cache/lm-studio/models",
    ]


@pytest.mark.parametrize(
    "settings",
    ["", "[]", "nonsense", '{"downloadsFolder": 3}', '{"downloadsFolder": "a\\u0000"}', "[" * 100_000],
)
def test_settings_that_are_none_are_no_stop(tmp_path: Path, settings: str) -> None:
    (tmp_path / ".lmstudio").mkdir()
    (tmp_path / ".lmstudio/settings.json").write_text(settings)
    assert defaults(tmp_path) == [".lmstudio/models", ".cache/lm-studio/models"]
    (tmp_path / ".lmstudio/settings.json").unlink()
    os.mkfifo(tmp_path / ".lmstudio/settings.json")
    assert defaults(tmp_path) == [".lmstudio/models", ".cache/lm-studio/models"]


def test_a_folder_called_models_is_not_all_it_takes(machine: Machine) -> None:
    def told(path: str) -> str | None:
        place = str(machine.home / path)
        return LmStudioBackend.recognise(place, os.listdir(place))

    assert told(".lmstudio") == str(machine.home / ".lmstudio/models")
    machine.write("project/models/a.gguf", b"")
    assert told("project") is None
    machine.write("app/models/a.gguf", b"")
    machine.write("app/settings.json", b"{}")
    (machine.home / "app/.internal").mkdir()
    assert told("app") == str(machine.home / "app/models")
    shutil.move(machine.home / "app/models", machine.home / "moved")
    (machine.home / "app/models").symlink_to(machine.home / "moved")
    assert told("app") is None, "it is found where it lies"


def test_links_that_others_made_are_files_of_the_model(machine: Machine) -> None:
    """``lms import --symbolic-link``, and what helper tools for Ollama leave."""
    elsewhere = machine.write("ggufs/linked.gguf", model("linked"))
    link = machine.home / ".lmstudio/models/org/linked/linked.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    (link.parent / "gone.gguf").symlink_to("nowhere")
    assert machine.models()["org/linked"] == {"lm-studio": ["gone.gguf", "linked.gguf"]}
    machine.remove("org/linked")
    assert not link.parent.exists() and elsewhere.exists()


def test_names_that_no_repo_can_have_are_no_stop(machine: Machine) -> None:
    machine.write(".lmstudio/models/my models/a b/x.gguf", model("x"))
    root = Root(str(machine.home / ".lmstudio/models"), "lm-studio")
    assert machine.models() == {
        "org/base-GGUF": {"lm-studio": ["base.Q4_K_M.gguf"]},
        "my models/a b": {"lm-studio": ["x.gguf"]},
    }
    assert not LmStudioBackend().vault_places(root)
