"""`hubfold consolidate --within DIR`: links that a container sees which mounts DIR alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.building import boxes
from tests.building.program import COMMIT, Program, Scene

PLACES = ("hf", "models", "share")


@pytest.fixture
def shared(scene: Scene) -> list[Path]:
    """The files below share/ that are to be links: beside a cache there; what is in hf/ and models/ stays."""
    top = scene.folder / "share"
    shutil.copytree(scene.hub, top / "cache", symlinks=True)
    copies = [top / "plain" / "model.safetensors", top / "more" / "copy.gguf"]
    for copy in copies:
        copy.parent.mkdir()
        shutil.copyfile(scene.blob, copy)
    return copies


def test_links_stay_inside_and_are_relative(hubfold: Program, scene: Scene, shared: list[Path]) -> None:
    outside = {str(path): path.lstat().st_ctime_ns for path in [*scene.copies, scene.blob]}
    done = hubfold("consolidate", "--within", "share", *PLACES, "-y", "--link", "symlink", "--json")
    assert done.code == 0, done.err
    assert {action["path"] for action in done.json["actions"]} == {str(copy) for copy in shared}
    for copy in shared:
        text = os.readlink(copy)
        assert not text.startswith("/")
        assert os.path.realpath(copy).startswith(f"{scene.folder}/share/")
    assert {path: os.lstat(path).st_ctime_ns for path in outside} == outside
    reasons = {left["path"]: left["reason"] for left in done.json["skipped"]}
    assert all("it lies outside of" in reasons[path] for path in outside)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_mount_of_the_folder_shows_every_link(
    hubfold: Program, scene: Scene, shared: list[Path], tmp_path: Path
) -> None:
    assert hubfold("consolidate", "--within", "share", "--link", "symlink", "-y").code == 0
    top = scene.folder / "share"
    links = [f"/data/{path.relative_to(top)}" for path in top.rglob("*") if path.is_symlink()]
    assert len(links) == len(shared) + 1
    (tmp_path / "root").mkdir()
    said = boxes.seen(tmp_path / "root", [(str(top), "/data")], links)
    assert all(said.values()), said


def test_the_folder_alone_is_what_is_scanned(hubfold: Program, scene: Scene, shared: list[Path]) -> None:
    done = hubfold("consolidate", "--within", "share", "--dry-run")
    assert "2 files to replace" in done.out
    assert "Next: hubfold consolidate --within share" in done.err


def test_a_cache_alone_has_its_vault_inside(hubfold: Program, scene: Scene) -> None:
    copy = scene.hub / "models--org--copy"
    shutil.copytree(scene.hub / "models--org--base", copy, symlinks=True)
    done = hubfold("consolidate", "--within", scene.hub, "-y", "--json").json
    assert [action["link"] for action in done["actions"]] == ["hardlink"]
    assert (copy / "snapshots" / COMMIT / "model.safetensors").read_bytes() == scene.blob.read_bytes()


def test_undo_takes_it_back(hubfold: Program, shared: list[Path]) -> None:
    before = [path.lstat().st_mtime_ns for path in shared]
    done = hubfold("consolidate", "--within", "share", "--link", "symlink", "-y")
    assert done.code == 0, done.err
    assert hubfold("undo", "-y").code == 0
    assert [path.lstat().st_mtime_ns for path in shared] == before
    assert not any(path.is_symlink() for path in shared)


def test_a_folder_that_is_not_there_is_an_error_with_the_nearest(hubfold: Program, scene: Scene) -> None:
    done = hubfold("consolidate", "--within", "model", "-y")
    assert done.code == 1
    assert "does not exist" in done.err and "models" in done.err


def test_a_cache_to_fold_into_has_to_lie_inside(hubfold: Program, scene: Scene) -> None:
    done = hubfold("consolidate", "--within", "models", "--into", "hf/hub", "-y")
    assert done.code == 2
    assert "lies outside of" in done.err and "--into" in done.err
