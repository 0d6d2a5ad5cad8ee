"""``hubfold move`` and ``recall`` as a user types them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.building.program import Program, Scene

SLOW = "slow/hub"


@pytest.fixture
def model(hubfold: Program, scene: Scene) -> Scene:
    """Only the cache: a model that nothing else shares."""
    return scene


def test_move_says_what_it_does(hubfold: Program, model: Scene) -> None:
    told = hubfold("move", "org/base", "--to", SLOW, "--dry-run")
    assert told.code == 0 and "2.1M to copy to" in told.out and "nothing is freed" in told.out, told
    assert str(model.blob) in told.out and "dry run" in told.err
    assert not (hubfold.home / SLOW).exists()
    done = hubfold("move", "org/base", "--to", SLOW, "-y")
    assert done.code == 0 and f"moved 1 model to {hubfold.home / SLOW}: 2.1M copied, 0B freed" in done.out
    assert "`hubfold recall org/base` brings it back" in done.err
    # One file system: one file with two names.
    assert (model.blob.stat().st_nlink, model.blob.stat().st_size) == (2, model.size)
    back = hubfold("recall", "org/base", "-y")
    assert back.code == 0 and "restored 1 path of run" in back.out
    assert not (hubfold.home / SLOW / "models--org--base").exists()
    assert hubfold("recall", "org/base", "-y").code == 1


def test_the_same_in_json(hubfold: Program, model: Scene) -> None:
    told = hubfold("move", "org/base", "--to", SLOW, "--dry-run", "--json").json
    done = hubfold("move", "org/base", "--to", SLOW, "-y", "--json").json
    assert told["models"][0].pop("run") is None and done["models"][0].pop("run")
    assert told == done
    assert done["models"][0]["links"] == [{"path": str(model.blob)}]


def test_nobody_to_ask_changes_nothing(hubfold: Program, model: Scene) -> None:
    before = model.photograph()
    told = hubfold("move", "org/base", "--to", SLOW)
    assert told.code == 5 and model.photograph() == before and not (hubfold.home / SLOW).exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--to", SLOW], 2, "give MODELs, --all-of CACHE or --cache CACHE"),
        (["org/base", "--cache", "hf/hub", "--to", SLOW], 2, "no MODEL goes with it"),
        (["--all-of", "hf/hub", "--cache", "hf/hub", "--to", SLOW], 2, "give one of them"),
        (["--cache", "models", "--to", SLOW], 2, "is no cache"),
        (["--cache", "nowhere", "--to", SLOW], 1, "nowhere"),
        (["--cache", "hf/hub", "--to", "hf/hub"], 2, "is where it would move to"),
        (["org/base"], 2, "--to"),
        (["org/base", "--all-of", "hf/hub", "--to", SLOW], 2, "no MODEL goes with it"),
        (["org/bsae", "--to", SLOW], 1, "did you mean org/base?"),
        (["org/base", "--to", "file"], 1, "is no folder"),
        (["org/base", "--to", SLOW, "--limit-rate", "fast"], 2, "fast"),
        (["org/base", "--to", SLOW, "--from", "models"], 2, "is no cache"),
    ],
)
def test_what_makes_no_sense_is_said(
    hubfold: Program, model: Scene, arguments: list[str], code: int, says: str
) -> None:
    Path(hubfold.home, "file").write_text("")
    told = hubfold("move", *arguments, "-y")
    assert told.code == code and says in told.err, told


def test_a_whole_cache_is_told_with_what_only_its_vault_has(hubfold: Program, model: Scene) -> None:
    """A client deleted the model; the local copies that were folded into it read its vault."""
    assert hubfold("consolidate", "models", "-y").code == 0
    links = [path for path in (hubfold.home / "models").rglob("*") if path.is_symlink()]
    assert links
    data = links[0].read_bytes()
    shutil.rmtree(model.blob.parents[1])
    done = hubfold("move", "--cache", "hf/hub", "--to", SLOW, "-y")
    assert done.code == 0 and "vault object " in done.out and "and 1 vault object to" in done.out, done
    told = hubfold("runs", "--json").json["runs"][0]
    assert f"`hubfold undo {told['run']}` brings it back" in done.err
    assert links[0].read_bytes() == data and "slow" in str(links[0].resolve())
    assert hubfold("undo", told["run"], "-y").code == 0
    assert links[0].read_bytes() == data and "slow" not in str(links[0].resolve())
