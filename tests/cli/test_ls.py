"""`hubfold ls`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files
from tests.building.program import COMMIT, Program, Scene


@pytest.fixture
def cached(hubfold: Program, loopback_hub: LoopbackHub) -> Tree:
    """org/base and org/broken in the cache of the program, the second with one link that leads nowhere."""
    for name in ("base", "broken"):
        loopback_hub.add(f"org/{name}", model_files(name, 40_000))
    tree = Tree(hubfold.home, loopback_hub).build({"hf/hub": hub_cache("org/base", "org/broken")})
    [blob] = tree["hf/hub/models--org--broken/snapshots"].glob("*/model.safetensors")
    blob.resolve().unlink()
    return tree


def test_models_are_listed_with_size_state_and_places(hubfold: Program, cached: Tree) -> None:
    done = hubfold("ls")
    assert done.code == 0
    titles, base, broken, *_ = done.out.splitlines()
    assert titles.split() == ["MODEL", "SIZE", "ON", "DISK", "FREES", "STATE", "PLACES"]
    assert base.split()[:2] + base.split()[-2:] == ["org/base", "40.1K", "whole", "1"]
    assert broken.split()[0] == "org/broken" and broken.split()[-2:] == ["broken", "1"]
    assert "models--" not in done.out


def test_with_paths_every_place_has_its_row(hubfold: Program, cached: Tree) -> None:
    cached.build({"copy": local_dir("org/base")})
    hubfold("roots", "add", str(cached["copy"]))
    titles, base, copy, _, _, told = hubfold("ls", "--paths").out.splitlines()
    assert titles.split()[-1] == "WHERE"
    assert base.split()[-3:] == ["whole", "2", str(cached["hf/hub/models--org--base"])]
    assert copy.split() == ["whole", str(cached["copy"])]
    assert told.startswith("2 models, ")
    rows = hubfold("ls", "--filter", f"where={cached['copy']}", "--paths").out.splitlines()
    assert [row.split()[0] for row in rows if row][:3] == ["MODEL", "org/base", "whole"]


def test_what_is_sorted_or_filtered_by_is_shown(hubfold: Program, cached: Tree) -> None:
    assert "ACCESSED" in hubfold("ls", "--sort", "accessed").out
    done = hubfold("ls", "--filter", "modified<1h", "--filter", "frees>0", "--sort", "frees")
    assert "MODIFIED" in done.out and "ACCESSED" not in done.out
    assert [line.split()[0] for line in done.out.splitlines()[1:3]] == ["org/base", "org/broken"]
    report = hubfold("ls", "--filter", "frees>0", "--json").json
    assert set(report) == {"models", "physical_bytes", "warnings"}
    assert all(model["freed_bytes"] for model in report["models"])


@pytest.mark.slow
def test_what_it_says_of_the_models_comes_after_them(hubfold: Program, cached: Tree) -> None:
    (cached["hf/hub"] / "models--org--closed").mkdir()
    (cached["hf/hub"] / "models--org--closed" / "snapshots").symlink_to("snapshots")
    with open(hubfold.home / "both", "w+") as both:
        subprocess.run(
            hubfold.command(["ls"]),
            env=hubfold.environ,
            cwd=hubfold.home,
            stdout=both,
            stderr=both,
            check=True,
        )
        both.seek(0)
        lines = both.read().splitlines()
    assert lines[0].startswith("MODEL")
    assert lines[-1].startswith(("broken: ", "warning: "))


def test_the_json_says_all_of_it(hubfold: Program, cached: Tree) -> None:
    report = hubfold("ls", "--json", "--files").json
    assert set(report) == {"models", "physical_bytes", "warnings"}
    base, broken = report["models"]
    assert (base["id"], base["state"], base["cached"]) == ("org/base", "whole", True)
    assert (broken["id"], broken["state"], broken["cached"]) == ("org/broken", "broken", False)
    assert report["physical_bytes"] == base["physical_bytes"] + broken["physical_bytes"]
    [place] = base["places"]
    [revision] = place["revisions"]
    assert (place["backend"], revision["judged_by"], revision["refs"]) == ("hub-cache", "listing", ["main"])
    assert {file["name"] for file in revision["files"]} == set(model_files("base"))
    assert all(Path(file["path"]).exists() for file in revision["files"])
    assert base["size_bytes"] == sum(file["bytes"] for file in revision["files"])


def test_revisions_are_rows_of_their_own(hubfold: Program, cached: Tree) -> None:
    first = cached["hf/hub/models--org--base/refs/main"].read_text()
    second = cached.hub.add("org/base", {"config.json": b"{}"})
    cached.build({"hf/hub": hub_cache("org/base")})
    done = hubfold("ls", "org/base", "--revisions")
    assert first[:12] in done.out and second[:12] in done.out
    assert set(hubfold("ls", "org/base", "--revisions", "-q").out.split()) == {first, second}
    rows = hubfold("ls", "--revisions", "--filter", "refs=main", "--filter", "size<10", "--json").json[
        "models"
    ]
    assert [(row["id"], row["revision"]) for row in rows] == [("org/base", second)]


def test_the_files_of_a_gguf_repo_one_by_one(hubfold: Program, loopback_hub: LoopbackHub) -> None:
    loopback_hub.add("org/many-GGUF", {f"many.Q{n}_K.gguf": b"x" * n * 1000 for n in (4, 6, 8)})
    Tree(hubfold.home, loopback_hub).build({"hf/hub": hub_cache("org/many-GGUF")})
    out = hubfold("ls", "--files").out
    assert [line.split() for line in out.splitlines() if line.endswith(".gguf")] == [
        ["4.0K", "many.Q4_K.gguf"],
        ["6.0K", "many.Q6_K.gguf"],
        ["8.0K", "many.Q8_K.gguf"],
    ]


def test_quiet_prints_names_that_commands_take(hubfold: Program, cached: Tree) -> None:
    cached.hub.add("org/data", {"a.parquet": b"rows"}, repo_type="dataset")
    cached.build({"hf/hub": hub_cache("datasets/org/data")})
    names = hubfold("ls", "-q").out.splitlines()
    assert names == ["datasets/org/data", "org/base", "org/broken"]
    assert hubfold("ls", *names).code == 0


def test_an_unknown_model_gets_the_nearest_name(hubfold: Program, cached: Tree) -> None:
    done = hubfold("ls", "org/bass")
    assert done.code == 1
    assert done.err.splitlines() == [
        "hubfold: no root holds a model called 'org/bass'",
        "  did you mean org/base?",
    ]


@pytest.mark.parametrize(
    "arguments", [("../x",), ("a\x1bb",), ("--filter", "size"), ("--sort", "colour"), ("--limit", "-1")]
)
def test_what_makes_no_sense_is_a_usage_error(hubfold: Program, arguments: tuple[str, ...]) -> None:
    done = hubfold("ls", *arguments)
    assert done.code == 2
    assert len(done.err.splitlines()) == 2
    assert "\x1b" not in done.err


def test_nothing_there_is_no_error(hubfold: Program) -> None:
    done = hubfold("ls")
    assert (done.code, done.out) == (0, "no models\n")
    assert hubfold("ls", "--json").json == {"models": [], "physical_bytes": 0, "warnings": []}


def test_names_that_hold_escapes_are_shown_escaped(hubfold: Program, scene: Scene) -> None:
    repo = scene.hub / "models--org--\x1b[31mred\n"
    (repo / "blobs").mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    (repo / "snapshots" / COMMIT).mkdir(parents=True)
    (repo / "snapshots" / COMMIT / "\udcff‮.gguf").write_bytes(b"weights")
    done = hubfold("ls", "--files")
    assert done.code == 0
    assert r"org/\x1b[31mred\n" in done.out
    assert r"\xff\u202e.gguf" in done.out
    assert "\x1b" not in done.out + done.err
    names = [
        file["name"]
        for model in hubfold("ls", "--files", "--json").json["models"]
        for file in model["places"][0]["revisions"][0]["files"]
    ]
    assert "\udcff‮.gguf" in names


@pytest.mark.slow
@pytest.mark.parametrize("columns", [60, 80])
def test_a_narrow_terminal_gets_a_table_with_nothing_cut(
    hubfold: Program, cached: Tree, columns: int
) -> None:
    name = "organisation/" + "a-long-name-" * 4 + "GGUF"
    cached.hub.add(name, {"model.gguf": b"weights" * 999})
    cached.build({"hf/hub": hub_cache(name)})
    done = hubfold.on_terminal("ls", columns=columns, environ={"NO_COLOR": "1"})
    lines = done.out.splitlines()
    assert lines[0].split() == ["MODEL", "SIZE", "ON", "DISK", "FREES", "STATE", "PLACES"]
    assert all(len(line) <= columns for line in lines if not line.startswith("organisation/"))
    place = lines.index(name)
    assert lines[place + 1].split()[-2:] == ["whole", "1"]
    assert lines[place + 1].startswith(" " * 10)
    paths = hubfold.on_terminal("ls", "--paths", columns=columns, environ={"NO_COLOR": "1"}).out.splitlines()
    assert paths[paths.index(name) + 2] == f"  {cached['hf/hub']}/models--{name.replace('/', '--')}"
