"""`hubfold undo` and `hubfold runs`."""

from __future__ import annotations

import shutil

from tests.building.program import Folded, Program, Scene


def test_undo_brings_everything_back(hubfold: Program, scene: Scene, folded: Folded) -> None:
    run, before = folded
    done = hubfold("undo", "-y")
    assert done.code == 0
    assert f"restored 2 files of run {run}" in done.out
    assert scene.photograph() == before


def test_a_dry_run_of_undo_changes_nothing(hubfold: Program, scene: Scene, folded: Folded) -> None:
    run, _ = folded
    now = scene.photograph()
    done = hubfold("undo", "--dry-run")
    assert done.code == 0
    assert [line for line in done.out.splitlines() if line.startswith("restore ")]
    assert f"run {run}: 2 files, 4.2M needed" in done.out
    assert scene.photograph() == now


def test_undo_asks(hubfold: Program, scene: Scene, folded: Folded) -> None:
    _, before = folded
    now = scene.photograph()
    assert hubfold("undo").code == 5
    hubfold.on_terminal("undo", answers=[("[y/N]", "n\n")])
    assert scene.photograph() == now
    done = hubfold.on_terminal("undo", answers=[("which takes 4.2M? [y/N]", "y\n")])
    assert done.code == 0
    assert scene.photograph() == before


def test_a_path_that_changed_since_is_left_alone_and_said_so(
    hubfold: Program, scene: Scene, folded: Folded
) -> None:
    edited = scene.copies[1]
    edited.unlink()
    edited.write_text("mine now")
    report = hubfold("undo", "-y", "--json").json
    assert set(report) == {"run", "kept", "restored", "left", "failed", "removed", "folders"}
    assert [item["path"] for item in report["restored"]] == [str(scene.copies[0])]
    assert [item["path"] for item in report["left"]] == [str(edited)]
    assert edited.read_text() == "mine now"


def test_a_mode_that_was_changed_since_stays_and_is_told(
    hubfold: Program, scene: Scene, folded: Folded
) -> None:
    path = scene.copies[0]
    path.chmod(0o600)
    told = f"{path}: its mode was changed since the run and stays: 600, where it was 644"
    assert told in hubfold("undo", "--dry-run").out
    done = hubfold("undo", "-y")
    assert done.code == 0 and told in done.out
    assert path.lstat().st_mode & 0o777 == 0o600


def test_a_run_whose_paths_all_changed_since_does_not_stand_before_older_ones(
    hubfold: Program, scene: Scene, folded: Folded
) -> None:
    run, _ = folded
    first, second = scene.copies
    content = first.read_bytes()
    new = scene.copies[0].parent / "one-more.safetensors"
    new.write_bytes(content)
    later = hubfold("consolidate", "hf", "models", "-y", "--json").json["run"]
    new.unlink()
    new.write_text("mine now")
    done = hubfold("undo", "-y")
    assert done.code == 0 and f"restored 0 files of run {later}" in done.out and str(new) in done.out
    assert new.read_text() == "mine now"
    assert f"restored 2 files of run {run}" in hubfold("undo", "-y").out
    assert not first.is_symlink() and not second.is_symlink()


def test_a_run_of_which_nothing_is_left_does_not_stand_before_older_ones(
    hubfold: Program, scene: Scene, folded: Folded
) -> None:
    run, before = folded
    assert hubfold("farm", "farm").code == 0
    shutil.rmtree(scene.folder / "farm")
    assert hubfold("undo", "--dry-run", "--json").json["restored"] == []
    assert hubfold("undo").code == 5
    assert "restored 0 files" in hubfold("undo", "-y").out
    assert f"restored 2 files of run {run}" in hubfold("undo", "-y").out
    assert scene.photograph() == before


def test_nothing_to_undo(hubfold: Program) -> None:
    done = hubfold("undo", "-y")
    assert done.code in (0, 1)
    assert "Traceback" not in done.err
