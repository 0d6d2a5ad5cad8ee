"""`hubfold register`, `registered`, `unregister`: names of the user's own for models, and their places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.building.program import Program, Scene


@pytest.fixture
def slow(hubfold: Program) -> Path:
    folder = hubfold.home / "slow"
    folder.mkdir()
    assert hubfold("roots", "add", folder, "--name", "slow").code == 0
    return folder


def test_to_primary_to_a_place_and_to_a_path(hubfold: Program, slow: Path) -> None:
    base = hubfold.home / "own"
    told = [
        hubfold("register", "small", "org/small"),
        hubfold("register", "big", "org/big", "--at", "slow", "--revision", "v1"),
        hubfold("register", "own", "org/own", "--path", base),
        hubfold("register", "first", "org/first", "--at", "primary"),
    ]
    hub = hubfold.home / "hf" / "hub"
    assert [done.out.strip() for done in told] == [
        f"small: org/small, in {hub}",
        f"big: org/big@v1, in slow, {slow}",
        f"own: org/own, in custom, {base}/hub",
        f"first: org/first, in primary, {hub}",
    ]
    assert told[1].err.strip() == "next: hubfold download big"
    models = {one["model_name"]: one for one in hubfold("registered", "--json").json["models"]}
    assert models["own"] == {
        "model_name": "own",
        "hf_path": "org/own",
        "revision": None,
        "cache_location": "custom",
        "cache_path": str(base),
        "cache_dir": str(base / "hub"),
        "base": str(base),
        "source": "registered",
        "away": False,
    }
    assert (models["big"]["cache_dir"], models["big"]["base"]) == (str(slow), None)
    assert (models["first"]["cache_dir"], models["first"]["base"]) == (str(hub), str(hub.parent))
    assert not base.exists() and not hub.exists(), "nothing is made by registering"


def test_registry_outlives_the_index(hubfold: Program, scene: Scene) -> None:
    (scene.snapshot.parent / "config.json").write_text("{}")
    hubfold("register", "small", "org/base")
    hubfold("scan")
    for path in Path(hubfold.environ["HUBFOLD_HOME"]).glob("index.db*"):
        path.unlink()
    assert hubfold("registered", "-q").out == "small\n"
    assert hubfold("path", "small").out.strip() == str(scene.snapshot.parent)


def test_every_command_knows_the_name(hubfold: Program, scene: Scene) -> None:
    (scene.snapshot.parent / "config.json").write_text("{}")
    hubfold("register", "mine", "org/base")
    assert hubfold("check").out.startswith("STATUS")
    assert "mine (org/base)" in hubfold("check", "mine").out
    assert "org/base" in hubfold("ls", "mine").out
    assert "org/base" in hubfold("rm", "mine", "--dry-run").out
    assert hubfold("path", "mnie").err.splitlines()[1].strip() == "did you mean mine?"


def test_one_list_with_what_files_configure(hubfold: Program, slow: Path) -> None:
    state = Path(hubfold.environ["HUBFOLD_HOME"])
    (state / "config.toml").write_text('[models]\na = { repo = "org/a", place = "slow" }\nb = "org/b"\n')
    project = hubfold.home / "project"
    project.mkdir()
    (project / "hubfold.toml").write_text('[models]\nb = { repo = "org/c", path = "cache" }\n')
    hubfold("register", "a", "org/z")

    def told(cwd: Path | None = None) -> dict[str, tuple[str, str, str]]:
        models = hubfold("registered", "--json", cwd=cwd).json["models"]
        return {one["model_name"]: (one["hf_path"], one["source"], one["cache_dir"]) for one in models}

    hub = str(hubfold.home / "hf" / "hub")
    assert told() == {"a": ("org/z", "registered", hub), "b": ("org/b", "config", hub)}
    assert told(project)["b"] == ("org/c", "project", f"{project}/cache/hub")
    assert hubfold("unregister", "a").code == 0
    assert told()["a"] == ("org/a", "config", str(slow))
    done = hubfold("unregister", "a")
    assert (done.code, "is configured, not registered" in done.err) == (1, True)


def test_what_is_exported_is_imported(hubfold: Program, slow: Path) -> None:
    hubfold("register", "big", "org/big", "--at", "slow")
    hubfold("register", "own", "org/own", "--path", "own")
    before = hubfold("registered", "--json")
    file = hubfold.home / "models.json"
    file.write_text(before.out)
    assert hubfold("unregister", "big", "own").code == 0
    done = hubfold("register", "--from", file)
    assert done.out.splitlines()[-1] == "2 models"
    assert hubfold("registered", "--json").json == before.json


def test_of_a_file_all_is_registered_or_nothing(hubfold: Program) -> None:
    file = hubfold.home / "models.json"
    file.write_text(
        json.dumps([{"model_name": "a", "hf_path": "org/a"}, {"model_name": "b", "hf_path": "../b"}])
    )
    done = hubfold("register", "--from", file)
    assert (done.code, "'../b' is not a repo id" in done.err) == (2, True)
    assert hubfold("registered").out.strip() == "no model is registered"
    assert hubfold("register", "--from", "none.json").code == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["small"], 2, "NAME and ORG/REPO"),
        ([], 2, "NAME and ORG/REPO"),
        (["small", "org/small", "--at", "slwo"], 1, "no place is called 'slwo'"),
        (["small", "org/small", "--at", "slow", "--path", "x"], 2, "a place or at a path"),
        (["org/a", "org/small"], 2, "looks like a repo id"),
        (["small", "../x"], 2, "is not a repo id"),
        (["small", "org/small", "--from", "x"], 2, "--from takes all"),
    ],
)
def test_what_makes_no_sense_is_told_with_what_does(
    hubfold: Program, slow: Path, words: list[str], code: int, message: str
) -> None:
    done = hubfold("register", *words)
    assert (done.code, done.out) == (code, "")
    assert message in done.err and len(done.err.splitlines()) == 2
    assert hubfold("registered", "--json").json == {"models": []}


def test_a_place_that_is_none_any_more_is_an_error_that_says_so(hubfold: Program, slow: Path) -> None:
    hubfold("register", "big", "org/big", "--at", "slow")
    hubfold("roots", "rm", slow)
    for command in ("download", "check", "path"):
        done = hubfold(command, "big")
        assert (done.code, "no place is called 'slow'" in done.err) == (1, True), command
    assert "no place is called slow" in hubfold("registered").out
    assert hubfold("unregister", "big").code == 0, "and it can be taken back"


def test_a_typo_gets_the_nearest_name(hubfold: Program) -> None:
    hubfold("register", "small", "org/small")
    for command in ("unregister", "registered"):
        done = hubfold(command, "smlal")
        assert done.code == 1
        assert done.err.splitlines()[1].strip() == "did you mean small?"
