"""`hubfold why`: what became of a path, in words and for scripts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.building.program import Program
from tests.building.weights import weights


@pytest.fixture
def models(hubfold: Program) -> Path:
    """Twelve copies below the home, and a kept one that was folded with them."""
    models = hubfold.home / "user" / "models"
    for number in range(13):
        weights(models / f"{number:02}" / "base.safetensors")
    hubfold("roots", "add", models)
    hubfold("scan")
    return models


def test_before_and_after_a_fold(hubfold: Program, models: Path) -> None:
    kept, copy = models / "00" / "base.safetensors", models / "01" / "base.safetensors"
    before = hubfold("why", copy)
    assert before.code == 0
    assert before.out.splitlines()[0].startswith(f"{copy}: not folded yet: it would become a ")
    assert f"  kept: {kept}" in before.out.splitlines()
    assert f"next: hubfold consolidate --dry-run {copy.parent}" in before.err
    run = hubfold("consolidate", "-y", "--json").json["run"]
    after = hubfold("why", copy)
    assert f"since run {run}" in after.out.splitlines()[0]
    assert f"next: hubfold undo {run} --dry-run" in after.err
    told = hubfold("why", copy, "--json").json
    assert (told["state"], told["keeper"], told["run"]) == ("folded", str(kept), run)
    assert hubfold("why", copy, "-q").out == f"{kept}\n"
    assert "this file is kept for others" in hubfold("why", kept).out


@pytest.mark.slow
def test_on_a_terminal_paths_begin_at_the_home_and_are_a_handful(hubfold: Program, models: Path) -> None:
    copy = models / "01" / "base.safetensors"
    shown = hubfold.on_terminal("why", copy).out
    assert "~/models/01/base.safetensors" in shown and str(models) not in shown.partition("next:")[0]
    assert shown.count("  copy: ") == 10 and "--full lists them" in shown
    full = hubfold.on_terminal("why", copy, "--full", columns=200).out
    assert full.count("  copy: ") == 11 and str(copy) in full


def test_what_is_no_file_is_an_error_with_what_to_do(hubfold: Program, models: Path) -> None:
    assert hubfold("why").code == 2
    missing = hubfold("why", models / "typo.safetensors")
    assert missing.code == 1 and "there is no such file" in missing.err.splitlines()[0]
    folder = hubfold("why", models)
    assert folder.code == 1 and "hubfold dupes" in folder.err.splitlines()[1]


def test_an_odd_name_is_shown_escaped(hubfold: Program, models: Path) -> None:
    odd = os.fsencode(models) + b"/caf\xe9 \x1b]0;owned\x07.safetensors"
    os.rename(models / "01" / "base.safetensors", odd)
    hubfold("scan")
    done = hubfold("why", odd)
    assert done.code == 0
    assert r"caf\xe9 \x1b]0;owned\x07.safetensors" in done.out and "\x1b" not in done.out
