"""`hubfold clean`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.building.program import Program, Scene


@pytest.fixture
def left_behind(scene: Scene) -> Path:
    """An interrupted download of 1 MiB, two days old."""
    path = scene.blob.with_name(f"{'a' * 64}.incomplete")
    path.write_bytes(b"x" * (1 << 20))
    then = time.time() - 2 * 24 * 3600
    os.utime(path, (then, then))
    return path


def test_clean_shows_asks_and_removes(hubfold: Program, scene: Scene, left_behind: Path) -> None:
    dry = hubfold("clean", "--dry-run")
    assert dry.code == 0
    assert f"interrupted download: {left_behind}" in dry.out
    assert "1 file to remove, 1.0M to reclaim" in dry.out
    assert hubfold("clean").code == 5
    assert left_behind.exists()
    for age in ("72", "3d", "72h"):
        young = hubfold("clean", "-y", "--older-than", age)
        assert "0 files to remove" in young.out, "it is two days old"
        assert "touched less than 3d ago; `hubfold clean --older-than 0` takes it too" in young.out
    assert hubfold("clean", "-y", "--older-than", "soon").code == 2
    assert hubfold("clean", "-y", "--older-than", "-1").code == 2
    done = hubfold("clean", "-y", "--json").json
    assert [item["path"] for item in done["removed"]] == [str(left_behind)]
    assert done["reclaimed_bytes"] == 1 << 20
    assert not left_behind.exists()


@pytest.mark.slow
def test_a_cache_is_emptied_after_its_name_was_typed(hubfold: Program, scene: Scene) -> None:
    before = scene.photograph()
    assert hubfold("clean", "--all", scene.hub).code == 5
    wrong = hubfold.on_terminal("clean", "--all", scene.hub, answers=[("every model in it:", "hub\n")])
    assert "nothing was changed" in wrong.out
    assert scene.photograph() == before
    done = hubfold.on_terminal(
        "clean", "--all", scene.hub, answers=[("every model in it:", f"{scene.hub}\n")]
    )
    assert done.code == 0
    assert "removed 3 files, reclaimed 2.1M" in done.out
    assert not (scene.hub / "models--org--base").exists()
    assert all(copy.exists() for copy in scene.copies)


def test_all_and_paths_do_not_go_together(hubfold: Program, scene: Scene) -> None:
    assert hubfold("clean", "--all", scene.hub, scene.models).code == 2
    assert hubfold("clean", "--all", scene.models, "-y").code == 2
    assert hubfold("clean", "--all", "/nowhere", "-y").code == 1
