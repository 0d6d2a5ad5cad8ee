"""`hubfold farm`."""

from __future__ import annotations

from tests.building.program import Program, Scene


def test_a_farm_holds_a_link_per_file(hubfold: Program, scene: Scene) -> None:
    done = hubfold("farm", "farm")
    assert done.code == 0
    link = scene.folder / "farm" / "org" / "base" / "model.safetensors"
    assert link.is_symlink() and link.samefile(scene.blob)
    assert "1 added" in done.out


def test_a_dry_run_makes_nothing(hubfold: Program, scene: Scene) -> None:
    done = hubfold("farm", "farm", "--dry-run")
    assert done.code == 0
    assert "add " in done.out
    assert not (scene.folder / "farm").exists()


def test_only_what_is_removed_is_asked_about(hubfold: Program, scene: Scene) -> None:
    assert hubfold("farm", "farm").code == 0
    again = hubfold("farm", "farm", "--json")
    assert again.code == 0
    assert (again.json["added"], again.json["removed"], again.json["kept"]) == ([], [], 1)
    link = scene.folder / "farm" / "org" / "base" / "model.safetensors"
    scene.snapshot.unlink()
    link.resolve().unlink()
    refused = hubfold("farm", "farm")
    assert refused.code == 5
    assert f"remove {link}" in refused.out
    assert link.is_symlink()
    assert hubfold("farm", "farm", "-y").code == 0
    assert not link.is_symlink()


def test_an_unknown_model_is_an_error(hubfold: Program, scene: Scene) -> None:
    done = hubfold("farm", "farm", "org/bas")
    assert done.code == 1
    assert "org/bas" in done.err
    assert not (scene.folder / "farm").exists()
