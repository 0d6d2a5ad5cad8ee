"""What a user is told who mistypes the name of a model or a path, whatever the command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.building.program import Program, Scene

pytestmark = pytest.mark.slow

#: Every command that takes MODEL, with something else that it needs.
TAKES_MODELS = [
    ("ls",),
    ("path",),
    ("check",),
    ("rm", "--dry-run"),
    ("farm", "farm", "--dry-run"),
    ("backup", "saved", "--dry-run"),
    ("restore", "before", "--dry-run"),
    ("verify",),
    ("download",),
]


@pytest.fixture
def user(hubfold: Program, scene: Scene) -> Program:
    """org/base is cached and backed up in ``before``; ``small`` is its short name. There is no Hub."""
    (scene.snapshot.parent / "config.json").write_text("{}")
    state = Path(hubfold.environ["HUBFOLD_HOME"])
    state.mkdir()
    (state / "config.toml").write_text('[models]\nsmall = "org/base"\n')
    assert hubfold("backup", "before").code == 0
    hubfold.environ["HF_HUB_OFFLINE"] = "1"
    return hubfold


@pytest.mark.parametrize("command", TAKES_MODELS, ids=lambda one: one[0])
def test_names_that_are_meant_mistyped_and_none(
    user: Program, scene: Scene, command: tuple[str, ...]
) -> None:
    before = scene.photograph()
    for name in ("small", "hf://models/org/base", "ORG/Base"):
        if (command[0], name) != (
            "download",
            "ORG/Base",
        ):  # the Hub, which knows its spelling, is not asked here
            done = user(*command, name)
            assert done.code == 0, done.err
    if command[0] != "download":
        done = user(*command, "org/bass")
        assert done.code == (3 if command[0] == "check" else 1)
        assert "did you mean org/base" in done.out + done.err
        assert len(done.err.splitlines()) <= 2
    for name in ("../x", "org/na\x1b[31mme", ""):
        done = user(*command, name)
        # `verify` takes paths as well, and this may have been meant to be one.
        assert done.code == (1 if command[0] == "verify" and name else 2), done.err
        assert len(done.err.splitlines()) == 2
        assert "\x1b" not in done.err
    assert scene.photograph() == before


def test_a_short_name_of_what_is_not_there_is_no_mistake(user: Program, scene: Scene) -> None:
    assert user("rm", "small", "-y").code == 0
    for command in (("rm", "-y"), ("path",), ("verify",), ("backup", "saved")):
        done = user(*command, "small")
        assert done.code == 1
        assert "`hubfold download small` gets it" in done.err, command
    done = user("backup", "saved")
    assert (done.code, done.err) == (0, "no root holds a model, so nothing was written\n")
    assert not (scene.folder / "saved").exists()


def test_a_path_that_is_not_there_gets_the_nearest(user: Program, scene: Scene) -> None:
    before = scene.photograph()
    for command in (("scan",), ("consolidate", "-y"), ("roots", "add"), ("clean", "-y"), ("verify",)):
        done = user(*command, "modles")
        assert done.code == 1
        assert f"did you mean {scene.models}?" in done.err
    done = user("scan", scene.folder / "nowhere" / "at" / "all")
    assert done.code == 1
    assert f"there is only {scene.folder}" in done.err
    assert len(done.err.splitlines()) == 2
    assert user("consolidate", "", "-y").code == 2, "the folder that somebody happens to be in was not meant"
    assert scene.photograph() == before


def test_a_backup_or_a_cache_that_is_not_there_gets_the_nearest(user: Program, scene: Scene) -> None:
    done = user("restore", "befor", "-y")
    assert done.code == 1
    assert f"did you mean {scene.folder / 'before'}?" in done.err
    mistyped = scene.hub.with_name("hbu")
    for command in (("rm", "org/base", "--from", mistyped, "-y"), ("clean", "--all", mistyped, "-y")):
        done = user(*command)
        assert done.code == 1
        assert f"did you mean {scene.hub}?" in done.err


def test_names_of_neighbours_are_shown_escaped(user: Program, scene: Scene) -> None:
    os.mkdir(scene.folder / "mod\x1b[31mels")
    done = user("scan", "mod[31mels")
    assert done.code == 1
    assert "did you mean" in done.err
    assert "\x1b" not in done.err
