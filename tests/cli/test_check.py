"""`hubfold check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files
from tests.building.program import Program


@pytest.fixture
def configured(hubfold: Program, loopback_hub: LoopbackHub) -> Tree:
    """Three models in config.toml: whole, not whole, not there."""
    for name in ("whole", "half"):
        loopback_hub.add(f"org/{name}", model_files(name, 40_000))
    tree = Tree(hubfold.home, loopback_hub).build({"hf/hub": hub_cache("org/whole", "org/half")})
    [link] = tree["hf/hub/models--org--half/snapshots"].glob("*/model.safetensors")
    link.resolve().unlink()
    link.unlink()
    state = Path(hubfold.environ["HUBFOLD_HOME"])
    state.mkdir()
    (state / "config.toml").write_text(
        '[models]\nsmall = "org/whole"\nmedium = "org/half"\nlarge = { repo = "org/large", size = "54GB" }\n'
    )
    return tree


def test_configured_models_are_told_one_by_one(hubfold: Program, configured: Tree) -> None:
    done = hubfold("check")
    assert done.code == 3
    rows = [line.split() for line in done.out.splitlines()[1:4]]
    assert [row[0] for row in rows] == ["cached", "incomplete", "missing"]
    assert "small (org/whole)" in done.out
    assert "medium: model.safetensors is not there (40.0K)" in done.out
    assert "hubfold download medium" in done.out
    assert "hubfold download large" in done.out
    assert "1 of 3 models whole" in done.out


def test_the_json_has_what_a_script_needs(hubfold: Program, configured: Tree) -> None:
    done = hubfold("check", "--json")
    assert done.code == 3
    small, medium, large = done.json["models"]
    assert (small["status"], small["id"], small["missing"]) == ("cached", "org/whole", [])
    assert Path(small["path"], "config.json").exists()
    assert (medium["status"], medium["missing_bytes"]) == ("incomplete", 40_000)
    assert medium["expected_bytes"] == medium["size_bytes"] + 40_000
    assert [file["name"] for file in medium["missing"]] == ["model.safetensors"]
    assert (large["status"], large["path"], large["missing_bytes"]) == ("missing", None, 54 * 10**9)
    assert done.json["free_bytes"] > 0
    assert done.json["cache"] == str(configured["hf/hub"])
    assert {item["kind"] for item in done.json["recommendations"]} >= {"resume", "download"}


def test_quiet_prints_nothing_and_the_code_says_it(hubfold: Program, configured: Tree) -> None:
    done = hubfold("check", "-q")
    assert (done.code, done.out, done.err) == (3, "", "")
    done = hubfold("check", "small", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_a_whole_model_anywhere_is_enough(hubfold: Program, configured: Tree) -> None:
    """The cache has half of it, a copy in a folder all of it."""
    configured.build({"models/half": local_dir("org/half")})
    hubfold("roots", "add", "models")
    done = hubfold("check", "org/half", "--json")
    assert done.code == 0
    assert done.json["models"][0]["path"] == str(configured["models/half"])


def test_a_name_that_nothing_is_known_of_gets_the_nearest(hubfold: Program, configured: Tree) -> None:
    done = hubfold("check", "org/hole")
    assert done.code == 3
    assert "did you mean org/whole" in done.out


def test_nothing_to_check_is_a_usage_error_that_says_where_to_name_models(hubfold: Program) -> None:
    done = hubfold("check")
    assert done.code == 2
    assert "config.toml" in done.err


@pytest.mark.parametrize("name", ["../x", "a\nb/c", "org/na\x1bme"])
def test_what_cannot_be_a_repo_id_is_a_usage_error(hubfold: Program, name: str) -> None:
    done = hubfold("check", name)
    assert done.code == 2
    assert len(done.err.splitlines()) == 2
    assert "\x1b" not in done.err
