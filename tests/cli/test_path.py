"""`hubfold path`."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files
from tests.building.program import Program


@pytest.fixture
def cached(hubfold: Program, loopback_hub: LoopbackHub) -> Tree:
    loopback_hub.add("org/base", model_files("base", 40_000))
    return Tree(hubfold.home, loopback_hub).build({"hf/hub": hub_cache("org/base")})


def test_the_folder_is_the_one_that_the_client_gives(
    hubfold: Program, cached: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import snapshot_download

    theirs = snapshot_download("org/base", cache_dir=cached["hf/hub"], local_files_only=True)
    done = hubfold("path", "org/base")
    assert (done.code, done.out, done.err) == (0, f"{theirs}\n", "")
    assert hubfold("path", "org/base", "--json").json == {"id": "org/base", "path": theirs}
    assert hubfold("path", "org/base", "-q").out == done.out


def test_one_file_of_it(hubfold: Program, cached: Tree) -> None:
    done = hubfold("path", "org/base", "tokenizer/tokenizer.json")
    assert done.code == 0
    assert Path(done.out.strip()).read_bytes() == model_files("base")["tokenizer/tokenizer.json"]


def test_what_is_not_whole_is_an_error_with_a_hint_but_its_files_are_not(
    hubfold: Program, cached: Tree
) -> None:
    [link] = cached["hf/hub/models--org--base/snapshots"].glob("*/model.safetensors")
    link.unlink()
    done = hubfold("path", "org/base")
    assert (done.code, done.out) == (1, "")
    assert "not whole" in done.err and "hubfold download org/base" in done.err
    assert hubfold("path", "org/base", "config.json").code == 0
    missing = hubfold("path", "org/base", "model.safetensors")
    assert missing.code == 1
    assert "model.safetensors of org/base is not there" in missing.err


@pytest.mark.parametrize("name", ["../../refs/main", "/etc/passwd", "config.jsn", ""])
def test_a_file_that_it_has_not_is_an_error(hubfold: Program, cached: Tree, name: str) -> None:
    done = hubfold("path", "org/base", name)
    assert (done.code, done.out) == (1, "")
    if name == "config.jsn":
        assert "did you mean config.json" in done.err


def test_a_copy_in_a_folder_serves_where_the_cache_has_it_not_whole(hubfold: Program, cached: Tree) -> None:
    cached.build({"models/base": local_dir("org/base")})
    hubfold("roots", "add", "models")
    assert "snapshots" in hubfold("path", "org/base").out
    [link] = cached["hf/hub/models--org--base/snapshots"].glob("*/model.safetensors")
    link.unlink()
    assert hubfold("path", "org/base").out == f"{cached['models/base']}\n"


def test_a_short_name_of_the_configuration(hubfold: Program, cached: Tree) -> None:
    state = Path(hubfold.environ["HUBFOLD_HOME"])
    state.mkdir()
    (state / "config.toml").write_text('[models]\nbase = "org/base"\n')
    assert hubfold("path", "base").out == hubfold("path", "org/base").out != ""
    assert "did you mean base" in hubfold("path", "bse").err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("org/nothing",), 1), (("../x",), 2), (("org/base", "--revision", "v9"), 1), ((), 2)],
)
def test_errors(hubfold: Program, cached: Tree, arguments: tuple[str, ...], code: int) -> None:
    done = hubfold("path", *arguments)
    assert (done.code, done.out) == (code, "")
    assert len(done.err.splitlines()) == 2
