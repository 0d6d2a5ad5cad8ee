"""`hubfold` alone: what there is, and what comes next."""

from __future__ import annotations

from tests.building.program import FIGURES, Program, Scene


def test_first_contact_without_any_index(hubfold: Program) -> None:
    done = hubfold()
    assert done.code == 0
    assert "hubfold demo" in done.out
    assert "next: hubfold scan" in done.err
    assert not (hubfold.home / "state").exists(), "looking writes nothing"


def test_the_status_follows_the_user(hubfold: Program, scene: Scene) -> None:
    assert "next: hubfold scan" in hubfold().err
    hubfold("roots", "add", "models")
    hubfold("scan")
    status = hubfold()
    assert str(scene.hub) in status.out and str(scene.models) in status.out
    assert "4.2M reclaimable" in status.out
    assert all(figure in status.out.splitlines() for figure in FIGURES), status.out
    assert "saved so far" not in status.out
    assert "hubfold's own index and runs: " in status.out
    assert "next: hubfold consolidate --dry-run" in status.err
    hubfold("consolidate", "-y")
    status = hubfold()
    assert "4.2M  saved so far (by folds that were not taken back)" in status.out.splitlines()
    assert "4.2M  total" in status.out.splitlines(), "known without another scan"
    assert "0B reclaimable" in status.out
    assert "last run: " in status.out and "finished" in status.out
    report = hubfold("--json").json
    assert report["reclaimable_bytes"] == 0
    assert report["last_run"]["state"] == "finished"


def test_the_status_is_there_at_once(hubfold: Program, scene: Scene) -> None:
    hubfold("scan", "hf", "models")
    imported = hubfold.imports()
    assert "sqlite3" in imported, "it looks into the index"
    assert not {"huggingface_hub", "sqlite_utils", "rich"} & set(imported)
    # Imports are what takes the time: 231 here.
    assert len(imported) < 300


def test_what_no_model_refers_to_has_its_line(hubfold: Program, scene: Scene) -> None:
    partial = next(scene.hub.glob("models--*/blobs")) / ("a" * 64 + ".incomplete")
    partial.write_bytes(b"x" * 2_097_152)
    line = "2.1M  interrupted downloads, 1 file: `hubfold clean --older-than 0` frees it"
    assert line in hubfold("scan").out.splitlines()
    assert line in hubfold().out.splitlines() and line in hubfold("ls").out.splitlines()
    [told] = hubfold("--json").json["unreferenced"]
    assert (told["bytes"], told["command"]) == (2_097_152, "hubfold clean --older-than 0")
    hubfold("clean", "--older-than", "0", "-y")
    assert "no model refers to" not in hubfold().out + hubfold("scan").out
