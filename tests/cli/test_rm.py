"""`hubfold rm`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.testing.trees import Tree, local_dir, model_files
from tests.building import tree
from tests.building.program import Program, Scene


def test_rm_shows_asks_and_removes(hubfold: Program, scene: Scene) -> None:
    before = scene.photograph()
    dry = hubfold("rm", "org/base", "--dry-run")
    assert dry.code == 0
    assert f"remove org/base (0123456789ab): {scene.hub}/models--org--base" in dry.out
    assert "3 files to remove, 2.1M to reclaim" in dry.out
    last = {one["path"] for one in hubfold("rm", "org/base", "--dry-run", "--json").json["last_copies"]}
    assert last == {str(scene.blob)} and "the last known copy of their content, 1 file:" in dry.out
    assert all(f"  {path}\n" in dry.out for path in last)
    assert hubfold("rm", "org/base").code == 5
    assert scene.photograph() == before
    declined = hubfold.on_terminal("rm", "org/base", answers=[("[y/N]", "n\n")])
    assert "nothing was changed" in declined.out
    assert scene.photograph() == before
    done = hubfold.on_terminal("rm", "org/base", answers=[("It cannot be undone. [y/N]", "y\n")])
    assert done.code == 0
    assert "removed 3 files, reclaimed 2.1M" in done.out
    assert not (scene.hub / "models--org--base").exists()
    assert [path.read_bytes() for path in scene.copies]


def test_what_a_copy_keeps_is_not_called_the_last(hubfold: Program, scene: Scene) -> None:
    def last() -> set[str]:
        report = hubfold("rm", "org/base", "--dry-run", "--json").json
        return {os.path.relpath(one["path"], scene.hub) for one in report["last_copies"]}

    blob = os.path.relpath(scene.blob, scene.hub)
    hubfold("scan", "hf", "models")
    known = last()
    assert blob not in known, "there are copies of it"
    assert not any("refs" in path for path in known), "a client's note is no content"
    for path in scene.copies:
        path.write_bytes(b"trained further")
    assert blob in last()


def test_a_folder_that_is_called_tilde_is_not_the_home(hubfold: Program, tree: Tree) -> None:
    """As programs make one that are given `local_dir="~/models/base"`, and as a shell's `*` names it."""
    tree.hub.add("org/base", model_files("base", 1 << 16))
    tree.build({"home/models/base": local_dir("org/base"), "work/~/models/base": local_dir("org/base")})
    hubfold.environ["HOME"] = str(tree.folder / "home")
    for folder in (tree.folder / "home/models", tree.folder / "work/~/models"):
        assert hubfold("roots", "add", folder).code == 0
    done = hubfold("rm", "~/models/base", "-y", cwd=tree.folder / "work")
    assert done.code == 0, done.err
    assert (tree.folder / "home/models/base/config.json").exists()
    assert not (tree.folder / "work/~/models/base/config.json").exists()


def test_the_json_report(hubfold: Program, scene: Scene) -> None:
    hubfold("consolidate", "hf", "models", "-y")
    report = hubfold("rm", "org/base", "-y", "--json").json
    assert set(report) == {
        "run",
        "models",
        "removed",
        "needed",
        "left",
        "failed",
        "reclaimed_bytes",
        "last_copies",
        "folders",
        "vault_files",
    }
    assert {needed["path"] for needed in report["needed"]} == {str(path) for path in scene.copies}
    assert report["reclaimed_bytes"] < 1 << 20
    assert all(path.stat().st_size == scene.size for path in scene.copies)
    runs = hubfold("runs", "--json").json
    assert [run["command"] for run in runs["runs"]][:1] == ["rm"]
    detail = hubfold("runs", report["run"]).out
    assert "refs/main" in detail


def test_undo_does_not_offer_what_cannot_be_undone(hubfold: Program, scene: Scene) -> None:
    hubfold("rm", "org/base", "-y")
    assert hubfold("undo", "-y").code == 1


def test_a_model_that_is_nowhere_gets_the_nearest_name(hubfold: Program, scene: Scene) -> None:
    done = hubfold("rm", "org/bass", "-y")
    assert done.code == 1
    assert "did you mean org/base?" in done.err
    assert hubfold("rm", "../x", "-y").code == 2
    assert hubfold("rm", "org/base", "--revision", "nope", "-y").code == 1


def test_redundant_copies_are_shown_with_where_they_stay(hubfold: Program) -> None:
    files = {"model.safetensors": tree.model("weights"), "config.json": b'{"model_type": "llama"}'}
    tree.cache(str(hubfold.home / "hf/hub"), "org/base", files)
    tree.local_dir(str(hubfold.home / "models/base"), files)
    tree.local_dir(str(hubfold.home / "models/alone"), {"m.safetensors": tree.model("alone")}, "b" * 40)
    assert hubfold("rm").code == 2
    assert hubfold("rm", "--redundant-copies", "--with-links").code == 2
    assert hubfold("rm", "--redundant-copies", "modles", "-y").code == 1
    hubfold("roots", "add", "models")
    dry = hubfold("rm", "--redundant-copies", "--dry-run")
    assert dry.code == 0
    snapshot = hubfold.home / "hf/hub/models--org--base/snapshots" / ("a" * 40)
    assert f"  stays whole in {snapshot}" in dry.out
    assert "no cache holds it whole" in dry.out and "last known copy" not in dry.out
    assert hubfold("rm", "--redundant-copies").code == 5
    done = hubfold("rm", "--redundant-copies", "models", "-y", "--json")
    assert (done.code, done.json["models"][0]["held_by"]) == (0, str(snapshot))
    assert os.listdir(hubfold.home / "models") == ["alone"]
    assert hubfold("rm", "--redundant-copies", "-y").code == 0, "nothing to do"


@pytest.fixture
def twice(hubfold: Program) -> Path:
    """org/base in two caches; the revision in the second."""
    files = {"model.safetensors": tree.model("weights"), "config.json": b'{"model_type": "llama"}'}
    for cache in ("hf/hub", "other/hub"):
        tree.cache(str(hubfold.home / cache), "org/base", files)
    hubfold("roots", "add", "other/hub")
    return hubfold.home / "other/hub/models--org--base/snapshots" / ("a" * 40)


def test_a_last_whole_copy_is_told_from_one_of_several(hubfold: Program, twice: Path) -> None:
    one = hubfold("rm", "org/base", "--from", "hf/hub", "--dry-run").out
    assert f"  stays whole in {twice}" in one
    assert "last known copy" not in one, "nothing was scanned, and the other cache is there to be seen"
    last = hubfold("rm", "org/base", "--dry-run", "--json").json["models"]
    assert [model["last"] for model in last] == [True, True]
    (twice / "model.safetensors").unlink()
    half = hubfold("rm", "org/base", "--from", "other/hub", "--dry-run").out
    assert "last whole copy" not in half and "stays whole" not in half, "it is not whole itself"
    assert "  the last whole copy that is known" in hubfold("rm", "org/base", "--dry-run").out


@pytest.mark.slow
def test_a_last_whole_copy_is_asked_about_in_other_words(hubfold: Program, twice: Path) -> None:
    done = hubfold.on_terminal(
        "rm", "org/base", "--from", "hf/hub", answers=[("stays whole elsewhere, and reclaim", "y\n")]
    )
    assert done.code == 0 and twice.exists()
    asked = hubfold.on_terminal(
        "rm", "org/base", answers=[("the last whole copy of org/base. Remove", "n\n")]
    )
    assert "nothing was changed" in asked.out and twice.exists()


@pytest.mark.slow
def test_single_files_are_not_asked_about_as_the_model(hubfold: Program, tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 1 << 16))
    tree.build({"models/base": local_dir("org/base")})
    copy = tree["models/base"]
    asked = hubfold.on_terminal("rm", copy, "*.safetensors", answers=[("[y/N]", "y\n")])
    assert f"Remove files of {copy} and reclaim" in asked.prose and asked.code == 0
    assert not list(copy.glob("*.safetensors")) and (copy / "config.json").exists()
    again = hubfold("rm", copy, "*.safetensors")
    assert again.code == 1 and f"{copy} has no such file" in again.err
