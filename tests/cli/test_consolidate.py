"""`hubfold consolidate`, from the plan to the question to the links."""

from __future__ import annotations

import os
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
