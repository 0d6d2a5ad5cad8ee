"""`hubfold consolidate`, from the plan to the question to the links."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.building.program import Program, Scene

PLACES = ("hf", "models")


def test_a_dry_run_shows_the_plan_and_changes_nothing(hubfold: Program, scene: Scene) -> None:
    before = scene.photograph()
    done = hubfold("consolidate", *PLACES, "--dry-run")
    assert done.code == 0
    assert scene.photograph() == before
    assert not list(scene.folder.glob("**/objects"))
    for copy in scene.copies:
        assert str(copy) in done.out
    assert str(scene.tuned) not in done.out
    assert "org/base: 2 files" in done.out
    assert "2 files to replace, 4.2M to reclaim" in done.out
    assert "nothing was changed" in done.err


def test_the_dry_run_is_the_plan_that_runs(hubfold: Program, scene: Scene) -> None:
    preview = hubfold("consolidate", *PLACES, "--dry-run", "--json").json
    done = hubfold("consolidate", *PLACES, "-y", "--json").json
    assert preview["run"] is None and done["run"]
    assert set(preview) == {"run", "actions", "skipped", "failed", "reclaimed_bytes"} == set(done)
    assert set(preview["actions"][0]) == {"path", "keeper", "target", "link", "reason", "bytes"}
    assert preview["actions"] == done["actions"]
    assert preview["reclaimed_bytes"] == done["reclaimed_bytes"] == 2 * scene.size


def test_yes_folds_and_every_path_reads_its_bytes(hubfold: Program, scene: Scene) -> None:
    bytes_before = {path: facts[-1] for path, facts in scene.photograph().items()}
    done = hubfold("consolidate", *PLACES, "-y")
    assert done.code == 0
    assert "replaced 2 files, reclaimed 4.2M" in done.out
    assert "hubfold undo" in done.err
    assert {path: facts[-1] for path, facts in scene.photograph().items()} == bytes_before
    for copy in scene.copies:
        assert os.path.samefile(copy, scene.blob)
    assert not os.path.samefile(scene.tuned, scene.blob)
    again = hubfold("consolidate", *PLACES, "-y")
    assert (again.code, again.out.splitlines()[0]) == (0, "nothing to replace")


def test_with_nobody_to_ask_it_changes_nothing_and_says_how_to_go_on(hubfold: Program, scene: Scene) -> None:
    before = scene.photograph()
    done = hubfold("consolidate", *PLACES)
    assert done.code == 5
    assert scene.photograph() == before
    what, hint = done.err.splitlines()[-2:]
    assert "nobody to ask" in what
    assert "-y" in hint and "--dry-run" in hint
    assert hubfold("runs").out == "no runs yet\n"


def test_with_nobody_to_ask_json_still_has_the_plan(hubfold: Program, scene: Scene) -> None:
    done = hubfold("consolidate", *PLACES, "--json")
    assert done.code == 5
    assert done.json["run"] is None
    assert len(done.json["actions"]) == 2


def test_with_nobody_to_ask_and_nothing_to_do_all_is_well(hubfold: Program, scene: Scene) -> None:
    for copy in scene.copies:
        copy.unlink()
    assert hubfold("consolidate", *PLACES).code == 0


@pytest.mark.slow
def test_no_at_the_question_changes_nothing(hubfold: Program, scene: Scene) -> None:
    before = scene.photograph()
    done = hubfold.on_terminal("consolidate", *PLACES, answers=[("[y/N]", "n\n")])
    assert done.code == 0
    assert "nothing was changed" in done.out
    assert scene.photograph() == before


def test_yes_at_the_question_folds(hubfold: Program, scene: Scene) -> None:
    done = hubfold.on_terminal("consolidate", *PLACES, answers=[("reclaim 4.2M? [y/N]", "y\n")])
    assert done.code == 0
    assert all(os.path.samefile(copy, scene.blob) for copy in scene.copies)


@pytest.mark.slow
def test_ctrl_c_at_the_question_changes_nothing(hubfold: Program, scene: Scene) -> None:
    before = scene.photograph()
    done = hubfold.on_terminal("consolidate", *PLACES, answers=[("[y/N]", "\x03")])
    assert done.code == 130
    assert scene.photograph() == before


@pytest.mark.parametrize("kind", ["hardlink", "symlink"])
def test_the_kind_of_link_can_be_chosen(hubfold: Program, scene: Scene, kind: str) -> None:
    done = hubfold("consolidate", *PLACES, "--link", kind, "-y", "--json").json
    assert {action["link"] for action in done["actions"]} == {kind}
    assert all(copy.is_symlink() == (kind == "symlink") for copy in scene.copies)


def test_what_is_left_alone_is_told_with_its_reason(hubfold: Program, scene: Scene) -> None:
    done = hubfold("consolidate", *PLACES, "--link", "reflink", "--dry-run")
    if "nothing to replace" not in done.out:
        pytest.skip("this file system has reflinks")
    assert "left alone, 2 files: " in done.out
    assert done.code == 0


@pytest.mark.slow
def test_a_long_plan_is_condensed_on_a_terminal_but_not_in_a_pipe(hubfold: Program, scene: Scene) -> None:
    for number in range(50):
        (scene.models / f"more-{number:02}.safetensors").write_bytes(scene.blob.read_bytes())
    piped = hubfold("consolidate", *PLACES, "--dry-run")
    assert piped.out.count("/more-") == 50
    shown = hubfold.on_terminal("consolidate", *PLACES, "--dry-run", columns=200)
    assert "/more-07" not in shown.out
    assert "--full lists every file" in shown.out
    assert "52 files to replace" in shown.out
    full = hubfold.on_terminal("consolidate", *PLACES, "--dry-run", "--full", columns=200)
    assert full.out.count("/more-") == 50


def test_odd_names_are_folded_and_shown_escaped(hubfold: Program, scene: Scene) -> None:
    odd = os.fsencode(scene.models) + b"/caf\xe9 \x1b]0;owned\x07 \n[red].safetensors"
    os.rename(scene.copies[1], odd)
    done = hubfold("consolidate", *PLACES, "-y")
    assert done.code == 0
    assert r"caf\xe9 \x1b]0;owned\x07 \n[red].safetensors" in done.out
    assert "\x1b" not in done.out + done.err
    assert os.path.samefile(odd, scene.blob)


def test_quiet_and_yes_are_silent(hubfold: Program, scene: Scene) -> None:
    done = hubfold("consolidate", *PLACES, "-q", "-y")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert os.path.samefile(scene.copies[0], scene.blob)


def test_into_chooses_the_cache_whose_copies_stay(hubfold: Program, scene: Scene) -> None:
    other = scene.folder / "other"
    (other / "models--org--base").mkdir(parents=True)
    for name in ("blobs", "refs", "snapshots"):
        os.rename(scene.hub / "models--org--base" / name, other / "models--org--base" / name)
    done = hubfold("consolidate", "other", "models", "--into", "other", "--dry-run", "--json").json
    assert {action["keeper"] for action in done["actions"]} == {
        str(path) for path in (other / "models--org--base" / "blobs").iterdir()
    }


def test_a_missing_path_is_an_error_and_nothing_is_done(hubfold: Program, scene: Scene) -> None:
    before = scene.photograph()
    done = hubfold("consolidate", "hf", "modles", "-y")
    assert done.code == 1
    assert "modles" in done.err
    assert scene.photograph() == before


@pytest.mark.slow
def test_what_was_done_otherwise_than_planned_is_told(hubfold: Program, scene: Scene, tmp_path: Path) -> None:
    """A file system that takes no symlinks after all: nothing said so before one was tried."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "def refuse(*args, **kwargs): raise OSError(1, 'Operation not permitted')\n"
        "os.symlink = refuse\n"
    )
    done = hubfold("consolidate", *PLACES, "-y", environ={"PYTHONPATH": str(tmp_path)})
    assert (done.code, done.err.count("Traceback")) == (0, 0)
    assert "otherwise than planned: hardlink: hard link (no symlink here: " in done.out
    assert "replaced 2 files, reclaimed 4.2M" in done.out
    assert {os.lstat(copy).st_ino for copy in scene.copies} == {scene.blob.stat().st_ino}


@pytest.fixture
def two_models(hubfold: Program, scene: Scene) -> Path:
    """Beside the scene's model another one, cached and copied too; the copy of both is a known root."""
    content = os.urandom(1 << 20)
    other, blob = scene.hub / "models--org--other", hashlib.sha256(content).hexdigest()
    snapshot = other / "snapshots" / ("b" * 40)
    for folder in (other / "blobs", other / "refs", snapshot):
        folder.mkdir(parents=True)
    (other / "blobs" / blob).write_bytes(content)
    (other / "refs" / "main").write_text("b" * 40)
    (snapshot / "other.safetensors").symlink_to(f"../../blobs/{blob}")
    copy = scene.models / "other.safetensors"
    copy.write_bytes(content)
    hubfold("roots", "add", scene.models)
    return copy


def test_of_one_model_only_what_it_has_is_folded(hubfold: Program, scene: Scene, two_models: Path) -> None:
    done = hubfold("consolidate", "--model", "org/other", "--dry-run", "--json").json
    assert [action["path"] for action in done["actions"]] == [str(two_models)]
    both = hubfold("consolidate", "--model", "ORG/base", "--model", "org/other", "--dry-run", "--json").json
    assert {action["path"] for action in both["actions"]} == {*map(str, scene.copies), str(two_models)}
    typo = hubfold("consolidate", "--model", "org/ohter", "-y")
    assert typo.code == 1
    assert "no scanned root holds a file of a model called 'org/ohter'" in typo.err
    assert "did you mean org/other?" in typo.err


def test_of_one_root_only_its_files_are_replaced(hubfold: Program, scene: Scene, two_models: Path) -> None:
    second = scene.folder / "second"
    second.mkdir()
    (second / "copy.safetensors").write_bytes(scene.blob.read_bytes())
    hubfold("roots", "add", second)
    done = hubfold("consolidate", "--root", "second", "--dry-run")
    assert str(second / "copy.safetensors") in done.out and "1 file to replace" in done.out
    assert done.err.strip().endswith("Next: hubfold consolidate --root second")
    unknown = hubfold("consolidate", "--root", "nowhere", "-y")
    assert unknown.code == 1
    assert "nowhere is no known root" in unknown.err and str(second) in unknown.err


def test_the_command_after_a_dry_run_or_a_scan_is_about_the_same(hubfold: Program, scene: Scene) -> None:
    """What was left out of it would be another plan than the one that was shown."""
    flags = ["--link", "hardlink", "--min-size", "1000", "--across-owners"]
    dry = hubfold("consolidate", *flags, "--exclude", "*.tmp", *PLACES, "--dry-run")
    expected = (
        "hubfold consolidate --link hardlink --min-size 1000 --across-owners --exclude '*.tmp' hf models"
    )
    assert dry.err.strip().endswith(f"Next: {expected}")
    scanned = hubfold("scan", "--min-size", "1000", *PLACES)
    assert "next: hubfold consolidate --dry-run --min-size 1000 hf models" in scanned.err
    assert "--min-size" not in hubfold("scan", *PLACES).err


@pytest.mark.slow
def test_a_person_reads_of_models_and_places_and_a_pipe_of_paths(hubfold: Program, scene: Scene) -> None:
    """The name of a blob is a digest: it is no place that anybody knows."""
    home = hubfold.home / "user"
    copy = home / "copy.safetensors"
    copy.write_bytes(scene.blob.read_bytes())
    second = home / "project"
    shutil.copytree(scene.hub, second / "hub", symlinks=True)
    about = ("consolidate", "hf", str(second), str(home), "--dry-run")
    shown = hubfold.on_terminal(*about, columns=200).out
    assert "~/copy.safetensors" in shown and "~/project/hub (org/base)" in shown
    assert f"stays: {scene.hub} (org/base)" in shown
    assert scene.blob.name not in shown and "--full shows whole paths" in shown
    for whole in (hubfold.on_terminal(*about, "--full", columns=300).out, hubfold(*about).out):
        assert str(copy) in whole and f"{second}/hub/models--org--base/blobs/{scene.blob.name}" in whole
        assert f"stays: {scene.blob}" in whole
