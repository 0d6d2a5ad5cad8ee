"""text-generation-webui beside a hub cache: it writes to the end of files that are too short, so these get no link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold import LinkKind
from hubfold_plugins.textgen.models import TextGenerationBackend
from tests.building.stores import Machine, model
from tests.plugins.textgen.test_contract import metadata

WEIGHTS, GGUF = model("weights"), model("single.gguf")
MODELS = "textgen/user_data/models"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    for name in ("server.py", "download-model.py", "user_data/instruction-templates/Alpaca.yaml"):
        made.write(f"textgen/{name}", b"")
    made.write(f"{MODELS}/org_base/model.safetensors", WEIGHTS)
    made.write(
        f"{MODELS}/org_base/huggingface-metadata.txt", metadata("org/base", {"model.safetensors": WEIGHTS})
    )
    made.write(f"{MODELS}/single.Q4_K_M.gguf", GGUF)
    return made


def appended(path: Path) -> None:
    """What its ``get_single_file`` does with a file that is shorter than that of the Hub."""
    with open(path, "ab") as file:
        file.write(b"the rest")


def test_what_a_cache_says_the_bytes_are_is_folded_read_only_and_the_plan_names_the_program(
    machine: Machine,
) -> None:
    machine.cached("org/base", {"model.safetensors": WEIGHTS})
    machine.cached("org/gguf", {"single.Q4_K_M.gguf": GGUF})
    before = machine.census()
    report = machine.fold("textgen")
    assert {Path(one.path).name for one in report.actions} == {"model.safetensors", "single.Q4_K_M.gguf"}
    assert all("text-generation-webui writes into its files" in one.reason for one in report.actions)
    for name in ("org_base/model.safetensors", "single.Q4_K_M.gguf"):
        assert (machine.home / MODELS / name).stat().st_mode & 0o222 == 0
    assert not [path for path in machine.census() if ".hubfold" in path]
    machine.undo()
    assert machine.census() == before


@pytest.mark.parametrize("link", [None, LinkKind.HARDLINK])
def test_a_download_that_is_not_at_its_end_gets_no_link(machine: Machine, link: LinkKind | None) -> None:
    """Two that were cut short at the same byte, and one without notes: their program goes on with them."""
    machine.write(f"{MODELS}/org_base/model.safetensors", WEIGHTS[:-100])
    machine.write("old/user_data/instruction-templates/x", b"")
    machine.write("old/user_data/models/org_base/model.safetensors", WEIGHTS[:-100])
    machine.write(
        "old/user_data/models/org_base/huggingface-metadata.txt",
        metadata("org/base", {"model.safetensors": WEIGHTS}),
    )
    machine.write("copies/single.gguf", GGUF)
    other = machine.home / "copies/single.gguf"
    report = machine.fold(".", link=link)
    assert not report.actions
    assert (
        len([one for one in report.skipped if "text-generation-webui may not be at the end" in one.reason])
        >= 2
    )
    appended(machine.home / MODELS / "single.Q4_K_M.gguf")
    assert other.read_bytes() == GGUF


def test_once_it_was_read_and_fits_its_notes_it_is_folded(machine: Machine) -> None:
    machine.write("copies/model.safetensors", WEIGHTS)
    with machine.engine() as engine:
        engine.scan([machine.home])
        engine.verify([machine.home])
        report = engine.apply(engine.plan([machine.home]))
    assert [Path(one.path).name for one in report.actions] == ["model.safetensors"]


def test_what_is_noted_later_is_seen_of_a_file_that_did_not_change(machine: Machine) -> None:
    notes = machine.home / MODELS / "org_base/huggingface-metadata.txt"
    text = notes.read_bytes()
    notes.unlink()
    (machine.home / MODELS / "single.Q4_K_M.gguf").unlink()
    with machine.engine() as engine:
        engine.scan([machine.home / "textgen"])
    notes.write_bytes(text)
    machine.cached("org/base", {"model.safetensors": WEIGHTS})
    with machine.engine() as engine:
        report = engine.scan([machine.home / "textgen"])
    assert (report.duplicate_sets, report.bytes_read) == (1, 0)


def test_its_models_are_those_that_their_notes_name(machine: Machine) -> None:
    machine.write(f"{MODELS}/big-00001-of-00002.gguf", b"GGUF1")
    machine.write(f"{MODELS}/big-00002-of-00002.gguf", b"GGUF2")
    machine.backends("textgen")
    with machine.engine() as engine:
        engine.add_root(machine.home / "textgen")
    assert machine.models() == {
        "org/base": {"text-generation-webui": ["model.safetensors"]},
        "single.Q4_K_M.gguf": {"text-generation-webui": ["single.Q4_K_M.gguf"]},
        "big.gguf": {"text-generation-webui": ["big-00001-of-00002.gguf", "big-00002-of-00002.gguf"]},
    }
    machine.remove("big.gguf")
    machine.remove("org/base")
    assert sorted(os.listdir(machine.home / MODELS)) == ["single.Q4_K_M.gguf"]


@pytest.mark.parametrize("path", [".", "textgen", "textgen/user_data", MODELS, f"{MODELS}/org_base"])
def test_it_is_known_whatever_folder_of_it_is_named(machine: Machine, path: str) -> None:
    assert machine.backends(path)["textgen/user_data"] == "text-generation-webui"


def test_models_kept_elsewhere_are_known_by_their_notes(machine: Machine) -> None:
    machine.write("big/org_other/model.safetensors", WEIGHTS)
    machine.write(
        "big/org_other/huggingface-metadata.txt", metadata("org/other", {"model.safetensors": WEIGHTS})
    )
    machine.write("big/mine.safetensors", WEIGHTS)
    found = machine.backends("big")
    assert (found["big"], found["big/org_other"]) == ("local-dir", "text-generation-webui")


def test_a_checkout_of_before_has_its_models_at_the_top(tmp_path: Path) -> None:
    for name in ("server.py", "download-model.py"):
        (tmp_path / name).touch()
    (tmp_path / "models").mkdir()

    def told() -> str | None:
        return TextGenerationBackend.recognise(str(tmp_path), os.listdir(tmp_path))

    assert told() == str(tmp_path / "models")
    (tmp_path / "user_data").symlink_to("models")
    assert told() == str(tmp_path / "models"), "a link is found where it leads"
