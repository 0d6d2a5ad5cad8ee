"""`hubfold migrate`: a cache put into another, with a preview and a question."""

from __future__ import annotations

import pytest

from tests.building.program import Program, Scene


@pytest.mark.slow
def test_there_and_back(hubfold: Program, scene: Scene) -> None:
    content = scene.blob.read_bytes()
    moved = hubfold.home / "new" / scene.snapshot.relative_to(scene.hub)
    dry = hubfold("migrate", "hf", "new", "--how", "move", "--dry-run")
    assert dry.code == 0
    assert "1 file shared, 2.1M\n1 file to copy, 40B" in dry.out
    assert "is emptied then" in dry.out
    assert hubfold("migrate", "hf", "new").code == 5
    assert not moved.exists()
    done = hubfold("migrate", "hf", "new", "-y", "--json").json
    assert (done["how"], done["failed"], len(done["models"])) == ("leave", [], 1)
    assert moved.read_bytes() == scene.snapshot.read_bytes() == content
    assert hubfold("undo", "-y").code == 0
    assert not moved.exists()
    asked = hubfold.on_terminal("migrate", "hf", "new", "--how", "move", answers=[("? [y/N]", "y\n")])
    assert asked.code == 0, asked.out
    assert moved.read_bytes() == content
    assert not (scene.hub / "models--org--base").exists()


def test_what_is_no_cache_is_told_with_what_to_type(hubfold: Program, scene: Scene) -> None:
    for words, code in ((["models", "new"], 2), (["nowhere", "new"], 1), (["hf"], 2)):
        done = hubfold("migrate", *words, "-y")
        assert (done.code, len(done.err.splitlines()), done.out) == (code, 2, "")
