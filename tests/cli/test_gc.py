"""`hubfold gc`."""

from __future__ import annotations

import os
import re

import pytest

from tests.building.program import Program, Scene


@pytest.mark.slow
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


def test_gc_names_the_last_copy_before_it_goes(hubfold: Program, scene: Scene) -> None:
    hubfold("consolidate", "hf", "models", "--link", "symlink", "-y")
    hubfold("undo", "-y")
    planned = hubfold("gc", "--dry-run", "--json").json
    assert len(planned["removed"]) == 1 and planned["last_copies"] == []
    scene.blob.unlink()
    planned = hubfold("gc", "--dry-run", "--json").json
    assert planned["last_copies"] == planned["removed"] != []
    assert f"the last copy of its content: {planned['removed'][0]['path']}" in hubfold("gc", "--dry-run").out
    assert hubfold("gc", "-y", "--json").json["last_copies"] == planned["removed"]


def test_gc_can_give_up_a_machine(hubfold: Program, scene: Scene) -> None:
    hubfold("consolidate", "hf", "models", "--link", "symlink", "-y")
    (lists,) = scene.hub.parent.rglob("*.links")
    text = lists.read_text()
    lists.write_text(
        re.sub(r'"machine": "[^"]*", "host": "[^"]*"', '"machine": "abc", "host": "laptop"', text)
    )
    hubfold("undo", "-y")
    assert hubfold("gc", "--dry-run", "--json").json["removed"] == []
    assert "no vault has a link that other noted" in hubfold("gc", "--forget-machine", "other", "-y").err
    planned = hubfold("gc", "--forget-machine", "laptop", "--dry-run", "--json").json
    assert {one["path"] for one in planned["forgotten"]} == {str(path) for path in scene.copies}
    assert len(planned["removed"]) == 1
    assert hubfold("gc", "--dry-run", "--json").json["removed"] == [], "it was a dry run"
    done = hubfold("gc", "--forget-machine", "laptop", "-y", "--json").json
    assert done["removed"] == planned["removed"] and done["forgotten"] == planned["forgotten"]
