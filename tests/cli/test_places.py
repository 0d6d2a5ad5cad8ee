"""Places as a user sees them: `roots`, `check` and `hubfold` with limits, names, and drives that are away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hubfold.state.home import StateHome
from tests.building.program import COMMIT, Program, Scene


@pytest.fixture
def whole(scene: Scene) -> Scene:
    (scene.snapshot.parent / "config.json").write_text("{}")
    return scene


def pulled_out(hubfold: Program, path: Path) -> None:
    """Another drive, with nothing on it, is where `path` was."""
    shutil.rmtree(path)
    path.mkdir()
    state = StateHome.locate(hubfold.environ["HUBFOLD_HOME"])
    _, inside, inode = state.located()[str(path)]
    state.remember_located(str(path), ("ext4:" + "1" * 32, inside, inode))


@pytest.fixture
def slow(hubfold: Program, whole: Scene) -> Path:
    """A cache that is the place `slow` and has the model, too."""
    folder = hubfold.home / "slow"
    shutil.copytree(whole.hub, folder, symlinks=True)
    assert hubfold("roots", "add", folder, "--name", "slow", "--limit", "1GB").code == 0
    return folder


def test_roots_says_what_a_place_holds_of_its_limit_and_where_each_setting_comes_from(
    hubfold: Program, whole: Scene, slow: Path
) -> None:
    hubfold("scan")
    project = hubfold.home / "project"
    project.mkdir()
    (project / ".env").write_text("PRIMARY_CACHE_LIMIT_GB=0.5\n")
    listed = hubfold("roots", cwd=project)
    rows = {line.split()[-1]: line for line in listed.out.splitlines()}
    primary, second = rows[str(whole.hub)], rows[str(slow)]
    assert "2.1M of 500.0M" in primary and "found; limit by .env" in primary
    assert "2.1M of 1.0G" in second and "slow" in second and "added" in second
    told = {
        root["name"] or root["role"]: root for root in hubfold("roots", "--json", cwd=project).json["roots"]
    }
    assert told["primary"]["sources"] == {"path": "found", "limit": ".env"}
    assert told["slow"]["used_bytes"] > 2 << 20 and told["slow"]["away"] is False
    assert "2.1M of 500.0M" in hubfold(cwd=project).out


def test_who_named_nothing_sees_no_names(hubfold: Program, scene: Scene) -> None:
    hubfold("scan")
    assert hubfold("roots").out.splitlines()[0].split()[0] == "SIZE"


def test_check_tells_what_places_hold_and_that_one_is_over_its_limit(
    hubfold: Program, whole: Scene, slow: Path
) -> None:
    hubfold("roots", "add", slow, "--name", "slow", "--limit", "1MB")
    done = hubfold("check", "org/base")
    assert f"slow ({slow}) holds 2.1M of 1.0M" in done.out
    assert "slow holds 2.1M, 1.1M more than the 1.0M that it may: hubfold ls --sort size" in done.out
    report = hubfold("check", "org/base", "--json").json
    assert [place["name"] for place in report["places"]] == ["slow"]
    assert [one["kind"] for one in report["recommendations"]][-1] == "limit"


def test_a_registered_model_has_to_be_whole_at_its_place(hubfold: Program, whole: Scene, slow: Path) -> None:
    hubfold("register", "base", "org/base", "--at", "slow")
    assert hubfold("check").code == 0
    assert hubfold("path", "base").out.strip() == str(slow / "models--org--base/snapshots" / COMMIT)
    shutil.rmtree(slow / "models--org--base")
    done = hubfold("check")
    assert done.code == 3
    assert "hubfold download base" in done.out and "is whole in" in done.out
    assert hubfold("check", "--anywhere").code == 0
    assert hubfold("path", "base").out.strip() == str(whole.snapshot.parent), "whichever root it is whole in"


def test_a_model_of_a_place_whose_drive_is_away_is_on_it_and_not_missing(
    hubfold: Program, whole: Scene, slow: Path
) -> None:
    hubfold("register", "base", "org/base", "--at", "slow")
    hubfold("scan")
    shutil.rmtree(whole.hub)
    pulled_out(hubfold, slow)
    for _ in range(2):
        done = hubfold("check")
        assert done.code == 3
        assert "org/base is on `slow`, which is away" in done.out
        assert f"slow ({slow}) is away" in done.out
        assert "hubfold download" not in done.out
        assert hubfold("path", "base").err.splitlines() == [
            "hubfold: org/base is on `slow`, which is away",
            "  connect its drive",
        ]
        assert "away" in next(line for line in hubfold("roots").out.splitlines() if line.endswith(str(slow)))
        scanned = hubfold("scan", "--json")
        root = next(one for one in scanned.json["roots"] if one["path"] == str(slow))
        assert (scanned.code, root["files"]) == (3, 2), "its rows stay"
        assert "is away" in root["error"]
    assert not list(slow.iterdir()), "and nothing is put there"


def test_nothing_is_pruned_while_a_drive_is_away(hubfold: Program, whole: Scene, slow: Path) -> None:
    hubfold("scan")
    pulled_out(hubfold, slow)
    for command in (
        ["clean", "--older-than", "0", "-y"],
        ["gc", "-y"],
        ["doctor", "--fix"],
        ["consolidate", "-y"],
    ):
        hubfold(*command)
        assert not list(slow.iterdir()), command
    listed = hubfold("ls", "--json")
    states = {
        one["root"]: [r["state"] for r in one["revisions"]]
        for model in listed.json["models"]
        for one in model.get("places", [])
    }
    assert "offline" in json.dumps(states.get(str(slow), ["offline"]))
    assert "org/base" in listed.out


def test_who_adds_a_place_again_means_the_drive_that_is_there_now(
    hubfold: Program, whole: Scene, slow: Path
) -> None:
    pulled_out(hubfold, slow)
    assert "away" in hubfold("roots").out
    hubfold("roots", "add", slow, "--name", "slow")
    assert "away" not in hubfold("roots").out


def test_models_of_the_clients_own_cache_count_beside_a_primary_place(hubfold: Program, whole: Scene) -> None:
    environ = {"PRIMARY_CACHE_PATH": str(hubfold.home / "fast")}
    done = hubfold("check", "org/base", environ=environ)
    assert done.code == 0, done.out
    assert "--into put it" not in done.out
    assert "fast is not there yet" in done.out
    assert hubfold("scan", environ=environ).code == 0, "a place that has to be made is no error"
    assert "none yet" in hubfold("roots", environ=environ).out


def test_a_bad_limit_is_told_by_the_command_that_needs_it(hubfold: Program) -> None:
    done = hubfold("roots", environ={"PRIMARY_CACHE_LIMIT_GB": "much"})
    assert done.err.splitlines() == [
        "hubfold: PRIMARY_CACHE_LIMIT_GB is 'much', no size",
        "  write a number of GB, like 100",
    ]


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_the_table_fits_a_terminal(hubfold: Program, whole: Scene, slow: Path, columns: int) -> None:
    shown = hubfold.on_terminal("roots", columns=columns, environ={"NO_COLOR": "1"})
    longest = max(len(str(slow)), len(f"{hubfold.home}/hf/hub"))
    assert max(map(len, shown.out.splitlines())) <= max(columns, longest + 2)
