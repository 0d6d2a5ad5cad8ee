"""`hubfold farm --for PROGRAM` and `hubfold download --for PROGRAM`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.building import tree
from tests.building.program import Program

GGUF = tree.model("gguf")


@pytest.fixture
def blob(hubfold: Program) -> Path:
    blobs = tree.cache(str(hubfold.home / "hf/hub"), "org/base-GGUF", {"base.gguf": GGUF, "README.md": b"x"})
    return Path(blobs["base.gguf"])


def given(hubfold: Program) -> Path:
    return hubfold.home / "studio/org/base-GGUF/base.gguf"


def test_a_folder_of_a_program_is_filled_refreshed_and_taken_back(hubfold: Program, blob: Path) -> None:
    done = hubfold("farm", "--for", "lm-studio", "studio")
    assert (done.code, "1 added, 0 removed, 0 kept" in done.out) == (0, True)
    assert given(hubfold).samefile(blob)
    again = hubfold("farm", "--for", "lm-studio", "studio", "--json").json
    assert (again["added"], again["kept"], again["run"]) == ([], 1, None)
    assert hubfold("undo", "-y").code == 0
    assert not (hubfold.home / "studio/org").exists() and blob.read_bytes() == GGUF


def test_a_dry_run_makes_nothing(hubfold: Program, blob: Path) -> None:
    done = hubfold("farm", "--for", "lm-studio", "studio", "--dry-run")
    assert (done.code, f"add {given(hubfold)}" in done.out) == (0, True)
    assert not (hubfold.home / "studio").exists() and blob.stat().st_mode & 0o200


def test_a_refresh_that_removes_asks(hubfold: Program, blob: Path) -> None:
    assert hubfold("farm", "--for", "lm-studio", "studio").code == 0
    other = {"other.gguf": tree.model("other")}
    tree.cache(str(hubfold.home / "hf/hub"), "org/base-GGUF", other, commit="b" * 40)
    refused = hubfold("farm", "--for", "lm-studio", "studio")
    assert (refused.code, f"remove {given(hubfold)}" in refused.out) == (5, True)
    assert given(hubfold).samefile(blob)
    assert hubfold("farm", "--for", "lm-studio", "studio", "-y").code == 0
    assert not given(hubfold).exists() and blob.read_bytes() == GGUF


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (["farm", "--for", "lmstudio", "studio"], 2, "lm-studio"),
        (["farm", "--for", "lm-studio", "hf/hub"], 2, "name another folder"),
        (["farm", "--for", "lm-studio", "studio", "org/bas"], 1, "org/bas"),
        (["farm", "--for", "lm-studio", "file"], 1, "is no directory"),
        (["download", "org/base-GGUF", "--for", "lm-studio"], 2, ".lmstudio/models"),
        (["download", "org/base-GGUF", "--for", "nobody"], 2, "lm-studio"),
    ],
)
def test_what_cannot_be_is_an_error_with_what_to_do(
    hubfold: Program, blob: Path, line: list[str], code: int, told: str
) -> None:
    (hubfold.home / "file").touch()
    done = hubfold(*line)
    assert (done.code, told in done.err) == (code, True), done.err
    assert not (hubfold.home / "studio").exists()


@pytest.mark.parametrize("where", [[], ["--to", "studio"]])
def test_a_download_goes_to_the_program_too(hubfold: Program, blob: Path, where: list[str]) -> None:
    own = hubfold.home / "user/.lmstudio/models"
    own.mkdir(parents=True)
    line = ["download", "org/base-GGUF", "--for", "lm-studio", *where]
    done = hubfold(*line, environ={"HF_HUB_OFFLINE": "1"})
    assert done.code == 0, done.err
    folder = hubfold.home / "studio" if where else own
    assert (folder / "org/base-GGUF/base.gguf").samefile(blob)
    assert os.listdir(folder) == ["org"]


def test_what_the_program_has_no_use_for_is_downloaded_all_the_same(hubfold: Program) -> None:
    tree.cache(str(hubfold.home / "hf/hub"), "org/plain", {"model.safetensors": GGUF, "config.json": b"{}"})
    line = ["download", "org/plain", "--for", "lm-studio", "--to", "studio"]
    done = hubfold(*line, environ={"HF_HUB_OFFLINE": "1"})
    assert (done.code, "has no file that lm-studio has a use for" in done.err) == (3, True), done.err
    assert "org/plain: whole" in done.err and not (hubfold.home / "studio").exists()


def test_of_another_drive_it_says_what_to_do(hubfold: Program, blob: Path, other_drive: Path) -> None:
    done = hubfold("farm", "--for", "lm-studio", other_drive / "studio")
    assert (done.code, "takes no symlink: name a folder there" in done.err) == (1, True)
    assert "org/base-GGUF" in done.err
