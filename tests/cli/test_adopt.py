"""`hubfold adopt`: a folder of files as a user has it, made a model of the cache."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.adoption.folders import COMMIT, FILES, bytes_below, download, plain
from tests.building.program import Program


@pytest.fixture
def folder(hubfold: Program) -> Path:
    return download(hubfold.home / "base")


def made(hubfold: Program) -> Path:
    return hubfold.home / "hf/hub/models--org--base" / "snapshots" / COMMIT


def test_there_and_back(hubfold: Program, folder: Path) -> None:
    dry = hubfold("adopt", "base", "--repo", "org/base", "--dry-run")
    assert (dry.code, made(hubfold).exists()) == (0, False)
    assert dry.out.startswith(f"org/base at {COMMIT[:12]}, by the notes of its download\n")
    assert "1 file that the cache and the folder share, 1.1M" in dry.out
    assert "read-only from then on, 1 file of the folder" in dry.out
    assert "this was a dry run: nothing was changed" in dry.err
    assert hubfold("adopt", "base", "--repo", "org/base").code == 5
    assert not made(hubfold).exists()
    done = hubfold("adopt", "base", "--repo", "org/base", "-y", "--json").json
    assert (done["model"], done["commit"], done["failed"]) == ("org/base", COMMIT, [])
    assert bytes_below(made(hubfold)) == FILES
    assert hubfold("check", "org/base").code == 0
    again = hubfold("adopt", "base", "--repo", "org/base", "-y")
    assert (again.code, "the cache has all of it" in again.err) == (0, True)
    assert hubfold("undo", "-y").code == 0
    assert not made(hubfold).parents[1].exists()
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]


@pytest.mark.slow
def test_a_user_is_asked(hubfold: Program, folder: Path) -> None:
    answers = [("? [y/N]", "y\n")]
    asked = hubfold.on_terminal("adopt", "base", "--repo", "org/base", answers=answers)
    assert asked.code == 0
    told = " ".join(re.sub(r"\x1b\[[\d;]*m", "", asked.out).split())
    assert f"org/base is in {hubfold.home}/hf/hub as {COMMIT[:12]}" in told


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["base"], 2, "nothing says which model"),
        (["nowhere", "--repo", "org/x"], 1, "is not there"),
        (["base", "--repo", "not a name"], 2, ""),
        (["copied", "--repo", "org/copied"], 2, "nothing says which revision"),
        (["copied", "--repo", "org/copied", "--revision", "main"], 2, "nothing says which revision"),
        ([], 2, ""),
    ],
)
def test_what_cannot_be_done_is_told_with_what_to_type(
    hubfold: Program, folder: Path, words: list[str], code: int, what: str
) -> None:
    plain(hubfold.home / "copied")
    done = hubfold("adopt", *words, "-y", environ={"HF_HUB_OFFLINE": "1"})
    assert (done.code, len(done.err.splitlines())) == (code, 2)
    assert what in done.err
    assert done.out == ""
