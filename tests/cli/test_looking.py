"""A look enrols nothing: what is scanned by a path is no root afterwards, and only that path is changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.building.program import Program, Scene
from tests.building.weights import twice, weights


def _roots(hubfold: Program) -> list[str]:
    return [root["path"] for root in hubfold("roots", "--json").json["roots"]]


@pytest.mark.parametrize(
    "look",
    [["scan"], ["scan", "--only"], ["consolidate", "--dry-run"], ["consolidate", "--dry-run", "--only"]],
    ids=" ".join,
)
def test_a_look_leaves_no_root_behind(hubfold: Program, scene: Scene, look: list[str]) -> None:
    assert hubfold(*look, scene.models).code == 0
    assert hubfold("dupes", scene.models).code == 0
    assert _roots(hubfold) == [str(scene.hub)], "the environment names that one"
    before = scene.photograph()
    assert hubfold("consolidate", "-y").code == 0
    assert hubfold("doctor", "--fix", "-y").code == 0
    assert scene.photograph() == before
    report = hubfold("scan", "--json").json
    assert [root["path"] for root in report["roots"]] == [str(scene.hub)]
    assert hubfold("dupes", "--json").json["sets"] == []


def test_what_was_added_is_a_root(hubfold: Program, scene: Scene) -> None:
    hubfold("roots", "add", scene.models)
    assert hubfold("consolidate", "-y").code == 0
    assert len(_roots(hubfold)) == 2
    assert all(os.path.samefile(copy, scene.copies[0]) for copy in scene.copies)


def test_a_folder_of_a_root_becomes_none(hubfold: Program, scene: Scene) -> None:
    hubfold("roots", "add", scene.models)
    hubfold("scan")
    report = hubfold("scan", scene.models / "base", "--json").json
    assert [root["path"] for root in report["roots"]] == [str(scene.models)]
    assert str(scene.models / "base") not in _roots(hubfold)
    assert hubfold("consolidate", "-y", scene.models / "base").code == 0
    base, copy = scene.copies
    assert base.is_symlink() and not copy.is_symlink()


def test_a_folder_looked_at_before_its_root_was_added_is_seen_whole(hubfold: Program, scene: Scene) -> None:
    hubfold("scan", "--only", scene.models / "base")
    report = hubfold("scan", "--only", "--json", scene.models).json
    assert [(root["path"], root["files"]) for root in report["roots"]] == [(str(scene.models), 3)]
    hubfold("roots", "add", scene.models)
    hubfold("scan")
    assert sorted(_roots(hubfold)) == [str(scene.hub), str(scene.models)]


def test_a_path_is_compared_with_the_known_roots(hubfold: Program, scene: Scene) -> None:
    lone = hubfold.home / "lone"
    lone.mkdir()
    shutil.copy2(scene.blob, lone / "model.safetensors")
    size = scene.blob.stat().st_blocks * 512
    report = hubfold("scan", lone, "--json").json
    assert (report["duplicate_sets"], report["reclaimable_bytes"]) == (1, size)
    assert hubfold("scan", "--only", lone, "--json").json["duplicate_sets"] == 0
    [found] = hubfold("dupes", lone, "--json").json["sets"]
    assert {replica["path"] for replica in found["replicas"]} == {
        str(scene.blob),
        str(lone / "model.safetensors"),
    }
    plan = hubfold("consolidate", "--dry-run", "--json", lone).json
    assert (plan["reclaimed_bytes"], len(plan["actions"])) == (size, 1)
    blob = scene.blob.stat()
    assert hubfold("consolidate", "-y", lone).code == 0
    assert (scene.blob.stat().st_ino, scene.blob.is_symlink()) == (blob.st_ino, False)
    assert os.path.samefile(lone / "model.safetensors", scene.blob)
    assert hubfold("undo", "-y").code == 0
    assert not os.path.samefile(lone / "model.safetensors", scene.blob)


def test_only_files_of_the_path_are_replaced(hubfold: Program) -> None:
    """Both folders have everything twice, and the one that is not named keeps both of its copies."""
    named, other = hubfold.home / "a-named", hubfold.home / "other"
    mine, theirs = twice(named, "one.safetensors"), twice(other, "one.safetensors")
    hubfold("roots", "add", other)
    report = hubfold("scan", named, "--json").json
    size = mine[0][0].stat().st_blocks * 512
    assert (report["duplicate_sets"], report["reclaimable_bytes"]) == (1, 2 * size)
    assert hubfold("consolidate", "-y", "--link", "hardlink", named).code == 0
    assert not os.path.samefile(*theirs[0])
    assert any(os.path.samefile(mine[0][0], theirs[0][number]) for number in (0, 1))
    assert os.path.samefile(*mine[0])


def test_a_hard_link_out_of_the_path_stays(hubfold: Program) -> None:
    named, other = hubfold.home / "named", hubfold.home / "other"
    inside, outside = weights(named / "one.safetensors"), other / "linked.safetensors"
    other.mkdir()
    os.link(inside, outside)
    weights(other / "copy.safetensors")
    hubfold("roots", "add", other)
    done = hubfold("consolidate", "-y", named)
    assert done.code == 0
    assert os.path.samefile(inside, outside)
    assert "outside of the given paths" in done.out


@pytest.mark.parametrize("command", ["scan", "dupes", "consolidate --dry-run"])
def test_the_next_command_is_about_the_same_path(hubfold: Program, scene: Scene, command: str) -> None:
    odd = hubfold.home / "my models"
    scene.models.rename(odd)
    hubfold("scan", odd)
    said = hubfold(*command.split(), "--exclude", "*.gguf", odd).err.replace("Next", "next")
    after = "consolidate" if command.startswith("consolidate") else "consolidate --dry-run"
    assert f"next: hubfold {after} --exclude '*.gguf' '{odd}'" in said


def test_a_cache_that_was_named_for_a_download_is_a_root(
    hubfold: Program, scene: Scene, tmp_path: Path
) -> None:
    """Its row in the index would not do any more."""
    from hubfold.content import Root
    from hubfold.engine.engine import Engine

    cache = tmp_path / "second" / "hub"
    shutil.copytree(scene.hub, cache, symlinks=True)
    with Engine(tmp_path / "state") as engine:
        engine._transfer._remember_cache(Root(str(cache), "hub-cache"))
    with Engine(tmp_path / "state") as engine:
        assert str(cache) in [root.path for root in engine.roots()]
