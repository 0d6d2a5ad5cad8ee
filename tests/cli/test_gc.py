"""`hubfold gc`."""

from __future__ import annotations

import os

from tests.building.program import Program, Scene


def test_gc_removes_what_undo_left(hubfold: Program, scene: Scene) -> None:
    hubfold("consolidate", "hf", "models", "--link", "symlink", "-y")
    assert hubfold("gc", "--dry-run", "--json").json["removed"] == []
    hubfold("undo", "-y")
    planned = hubfold("gc", "--dry-run", "--json").json["removed"]
    assert len(planned) == 1 and os.path.exists(planned[0]["path"])
    assert hubfold("gc").code == 5
    assert os.path.exists(planned[0]["path"])
    done = hubfold.on_terminal("gc", answers=[("[y/N]", "y\n")])
    assert done.code == 0
    assert not os.path.exists(planned[0]["path"])
    assert scene.blob.read_bytes()
