"""`hubfold rm`."""

from __future__ import annotations

import os

from hubfold.testing.trees import Tree, local_dir, model_files
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
