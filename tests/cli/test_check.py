"""`hubfold check`."""

from __future__ import annotations

import itertools
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
    done = hubfold("check", "org/half", "--anywhere", "--json")
    assert done.code == 0
    assert done.json["models"][0]["path"] == str(configured["models/half"])
    done = hubfold("check", "org/half")
    assert done.code == 3, "a program that asks for it by its name looks into the cache"
    assert f"org/half is whole in {configured['models/half']}" in done.out
    assert hubfold("check", "org/half", "--in", "models").code == 0


def test_the_cache_is_told_and_what_nobody_configured(hubfold: Program, configured: Tree) -> None:
    configured.hub.add("org/more", model_files("more", 40_000))
    configured.build({"hf/hub": hub_cache("org/more")})
    config = Path(hubfold.environ["HUBFOLD_HOME"]) / "config.toml"
    config.write_text(f'reserve = "900TB"\n{config.read_text()}')
    done = hubfold("check")
    assert f"1 of 3 models whole in {configured['hf/hub']}" in done.out
    assert "900.0T of it in reserve" in done.out
    assert "in the cache and not in config.toml: org/more (40" in done.out
    assert "less than the reserve of 900.0T: nothing is downloaded" in done.out
    report = hubfold("check", "--json").json
    assert [one["id"] for one in report["unconfigured"]] == ["org/more"]
    assert (report["readable"], report["writable"], report["reserve_bytes"]) == (True, True, 900 * 10**12)
    refused = hubfold("download", "--missing", "--dry-run", environ=configured.hub.environ())
    assert refused.code == 1, "org/large is nowhere"


def test_the_places_exclude_each_other_and_have_to_be_folders(hubfold: Program, configured: Tree) -> None:
    assert hubfold("check", "--in", "hf", "--anywhere").code == 2
    assert hubfold("check", "--in", "").code == 2
    (hubfold.home / "file").write_text("")
    done = hubfold("check", "--in", "file")
    assert done.code == 1 and "is no folder" in done.err
    assert hubfold("check", "small", "--in", "hf", "-q").code == 0
    assert hubfold("check", "small", "--in", "nowhere", "-q").code == 3
    assert f"{hubfold.home}/nowhere is not there yet" in hubfold("check", "small", "--in", "nowhere").out


@pytest.mark.slow
def test_on_a_terminal_each_status_has_its_colour(hubfold: Program, configured: Tree) -> None:
    done = hubfold.on_terminal("check", columns=200)
    for status, colour in (("cached", 32), ("incomplete", 33), ("missing", 31)):
        assert f"\x1b[{colour}m{status}" in done.out
    narrow = hubfold.on_terminal("check", "--no-color", columns=80)
    table = itertools.takewhile(lambda line: "models whole" not in line, narrow.out.splitlines()[1:])
    rows = [line for line in table if line.strip() and not line.startswith(" ")]
    assert [row.split()[0] for row in rows][:3] == ["cached", "incomplete", "missing"]
    assert max(map(len, rows)) <= 80, "paths stand below"


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
