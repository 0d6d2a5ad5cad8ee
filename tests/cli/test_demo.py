"""`hubfold demo`: it does the whole job, checks itself, and stays in its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.building.program import Program


@pytest.mark.slow
def test_the_demo_does_the_whole_job_and_cleans_up(hubfold: Program, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = hubfold("demo", "--size", "12M", environ={"TMPDIR": str(temporary)})
    assert done.code == 0, done.out + done.err
    assert "DOES NOT HOLD" not in done.out
    assert done.out.count("holds: ") >= 7
    assert "$ hubfold consolidate --dry-run" in done.out
    assert os.listdir(temporary) == [], "nothing is left"
    assert sorted(os.listdir(hubfold.home)) == ["user"], "and nothing was made elsewhere"
    assert os.listdir(hubfold.home / "user") == []


@pytest.mark.slow
def test_a_named_folder_stays(hubfold: Program) -> None:
    done = hubfold("demo", "try", "--size", "12M", "--json")
    assert done.code == 0, done.err
    assert done.json["complaints"] == []
    sizes = [step["allocated_bytes"] for step in done.json["steps"]]
    assert min(sizes) <= sizes[0]
    assert {step["exit_code"] for step in done.json["steps"]} == {0}
    assert (hubfold.home / "try" / "models" / "base" / "model.safetensors").exists()


def test_a_demo_that_is_refused_leaves_nothing(hubfold: Program, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    assert hubfold("demo", "--size", "1M", environ={"TMPDIR": str(temporary)}).code == 2
    assert os.listdir(temporary) == []


def test_a_folder_with_something_in_it_is_refused(hubfold: Program) -> None:
    (hubfold.home / "mine").mkdir()
    (hubfold.home / "mine" / "file").write_text("precious")
    done = hubfold("demo", "mine")
    assert done.code == 1
    assert "not empty" in done.err
    assert os.listdir(hubfold.home / "mine") == ["file"]
