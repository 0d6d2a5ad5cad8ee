"""Backups of any layout: what is in one can be restored into a root of its layout, and no model is in another's way."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from hubfold import Engine
from hubfold.backend import ModelPart
from hubfold.errors import HubfoldError
from hubfold.testing.trees import Tree, hub_cache, model_files, repository_folder
from hubfold.transfer import backup
from tests.building import plugin
from tests.building.plugin import Box, raising


class Flat(Box):
    """A box whose files lie right in the root: ``<name>.json`` and what it lists."""

    name = "box"

    def parts(self, root, snapshot, walk) -> Iterator[ModelPart]:  # type: ignore[no-untyped-def]
        for name in walk.listing(root.path):
            if name != "BOX":
                yield ModelPart(name, os.path.join(root.path, name))


class Scene:
    """A cache with org/base and a box with acme/boxed; and another machine, which has an empty box."""

    def __init__(self, tree: Tree) -> None:
        tree.hub.add("org/base", model_files("base", 8192))
        tree.build({"hub": hub_cache("org/base")})
        self.tree = tree
        self.box = tree.folder / "box"
        self.weights = plugin.fill(self.box)
        self.there = tree.folder / "there"
        (self.there / "box").mkdir(parents=True)
        (self.there / "box/BOX").touch()

    def engine(self, name: str, hub: Path, box: Path | None) -> Engine:
        made = Engine(
            self.tree.folder / f"state-{name}",
            environ={"HF_HUB_CACHE": str(hub), "HOME": str(self.tree.folder / "nobody")},
        )
        if box is not None:
            made.add_root(box)
        return made

    def here(self) -> Engine:
        return self.engine("here", self.tree["hub"], self.box)

    def elsewhere(self, *, box: bool = True) -> Engine:
        return self.engine("there", self.there / "hub", self.there / "box" if box else None)


@pytest.fixture
def scene(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    plugin.install(tmp_path / "plugin", monkeypatch)
    return Scene(tree)


def test_each_model_goes_to_a_root_of_its_layout(scene: Scene) -> None:
    target = scene.tree.folder / "backup"
    with scene.here() as engine:
        report = engine.backup(engine.plan_backup(target))
        assert {model.name for model in report.models} == {"org/base", "acme/boxed"}
    with scene.elsewhere() as engine:
        done = engine.restore(target, engine.plan_restore(target))
        assert not done.failed
        assert {model.name for model in done.models} == {"org/base", "acme/boxed"}
    assert list((repository_folder(scene.there / "hub", "org/base") / "snapshots").iterdir())
    assert (scene.there / "box/boxed/model.safetensors").read_bytes() == scene.weights.read_bytes()


def test_what_has_no_place_is_told_and_the_others_are_restored(scene: Scene) -> None:
    target = scene.tree.folder / "backup"
    with scene.here() as engine:
        engine.backup(engine.plan_backup(target))
    with scene.elsewhere(box=False) as engine:
        done = engine.restore(target, engine.plan_restore(target))
        assert [model.name for model in done.models] == ["org/base"]
        [failed] = done.failed
        assert failed.path.startswith("acme/boxed@")
        assert "--into" in failed.error
        with pytest.raises(HubfoldError, match="backed up from a box"):
            engine.plan_restore(target, ["acme/boxed"])


@pytest.mark.parametrize("place", ["there/box", "there/new", "there/plain"])
def test_into_takes_a_root_of_any_layout_a_new_folder_and_a_plain_one(scene: Scene, place: str) -> None:
    target, into = scene.tree.folder / "backup", scene.tree.folder / place
    (scene.tree.folder / "there/plain").mkdir()
    (scene.tree.folder / "there/plain/notes.txt").write_text("mine")
    with scene.here() as engine:
        engine.backup(engine.plan_backup(target, ["acme/boxed"]))
    with scene.elsewhere(box=False) as engine:
        done = engine.restore(target, engine.plan_restore(target, into=into))
    assert not done.failed
    assert (into / "boxed/model.safetensors").read_bytes() == scene.weights.read_bytes()


def test_into_a_box_of_a_backup_of_both_leaves_the_cache_to_another_command(scene: Scene) -> None:
    target = scene.tree.folder / "backup"
    with scene.here() as engine:
        engine.backup(engine.plan_backup(target))
    with scene.elsewhere(box=False) as engine:
        done = engine.restore(target, engine.plan_restore(target, into=scene.there / "box"))
        assert [model.name for model in done.models] == ["acme/boxed"]
        [failed] = done.failed
        assert failed.path.startswith("org/base@")
        done = engine.restore(target, engine.plan_restore(target, into=scene.there / "other"))
        assert [model.name for model in done.models] == ["org/base"]
    assert repository_folder(scene.there / "other", "org/base").is_dir()


def test_a_model_whose_files_lie_right_in_the_root(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Box, "parts", Flat.parts)
    weights, manifest = scene.box / "w.safetensors", scene.box / "boxed/model.json"
    weights.write_bytes(b"flat" * 1000)
    (scene.weights).rename(scene.box / "x.safetensors")
    manifest.write_text(json.dumps({"repo": "acme/boxed", "files": ["../w.safetensors"]}))
    flat = json.dumps({"repo": "acme/boxed", "files": ["w.safetensors"]})
    monkeypatch.setattr(
        Box,
        "_models",
        lambda self, root, walk: iter(
            [("acme/boxed", "a" * 40, f"{root.path}/m.json", [f"{root.path}/w.safetensors"])]
        ),
    )
    (scene.box / "boxed/model.json").unlink()
    (scene.box / "boxed").rmdir()
    (scene.box / "m.json").write_text(flat)
    target = scene.tree.folder / "backup"
    with scene.here() as engine:
        report = engine.backup(engine.plan_backup(target, ["acme/boxed"]))
        assert not report.failed
    with scene.elsewhere() as engine:
        done = engine.restore(target, engine.plan_restore(target))
        assert not done.failed
    names = sorted(path.name for path in (scene.there / "box").iterdir())
    assert names == ["BOX", "m.json", "w.safetensors", "x.safetensors"], "nothing of ours is left"
    assert (scene.there / "box/w.safetensors").read_bytes() == weights.read_bytes()


# what could not be restored is not backed up


def backed_up_without_the_box(scene: Scene) -> str:
    """Why the box's model is not in a backup of all; the cache's is."""
    target = scene.tree.folder / "backup"
    with scene.here() as engine:
        plan = engine.plan_backup(target)
        report = engine.backup(plan)
    assert [model.name for model in report.models] == ["org/base"]
    [failed] = report.failed
    assert failed.path.startswith("acme/boxed@")
    assert plan.failed == report.failed, "the preview says so"
    with scene.elsewhere() as engine:
        assert not engine.restore(target, engine.plan_restore(target)).failed
    return failed.error


def test_parts_that_belong_in_no_root(scene: Scene) -> None:
    Box.faults["place"] = lambda: None
    assert "no part of a box" in backed_up_without_the_box(scene)


def test_parts_of_which_nobody_can_tell_now(scene: Scene) -> None:
    Box.faults["place"] = raising(RuntimeError("boom"))
    assert "no part of a box" in backed_up_without_the_box(scene)


def test_a_part_that_is_not_there(scene: Scene) -> None:
    Box.faults["parts"] = lambda: iter([ModelPart("boxed/gone", str(scene.box / "boxed/gone"))])
    assert "it is gone" in backed_up_without_the_box(scene)


def test_a_part_that_is_no_file_is_not_waited_for(scene: Scene) -> None:
    os.mkfifo(scene.box / "boxed/pipe")
    Box.faults["parts"] = lambda: iter([ModelPart("boxed/pipe", str(scene.box / "boxed/pipe"))])
    assert "is no file" in backed_up_without_the_box(scene)


def test_a_link_that_leads_out_of_the_model(scene: Scene) -> None:
    Box.faults["parts"] = lambda: iter([ModelPart("boxed/link", text="../../outside")])
    assert "no part of the model" in backed_up_without_the_box(scene)


def test_two_parts_of_one_name(scene: Scene) -> None:
    Box.faults["parts"] = lambda: iter([ModelPart("boxed/x", str(scene.weights))] * 2)
    assert "two parts of one name" in backed_up_without_the_box(scene)


def test_a_file_that_becomes_shorter_while_it_is_read_stops_no_other_model(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = backup.pour

    def shrinking(source: IO[bytes], *rest: Any) -> str:
        if source.name == str(scene.weights):
            os.truncate(scene.weights, 10)
        return whole(source, *rest)

    monkeypatch.setattr(backup, "pour", shrinking)
    target = scene.tree.folder / "backup"
    with scene.here() as engine:
        report = engine.backup(engine.plan_backup(target))
    assert [model.name for model in report.models] == ["org/base"]
    assert "became shorter" in report.failed[0].error


def test_a_file_from_before_1970_can_be_restored(scene: Scene) -> None:
    os.utime(scene.weights, ns=(0, -5_000_000_000))
    target = scene.tree.folder / "backup"
    with scene.here() as engine:
        assert not engine.backup(engine.plan_backup(target, ["acme/boxed"])).failed
    with scene.elsewhere() as engine:
        assert not engine.restore(target, engine.plan_restore(target)).failed


def test_what_a_backup_has_of_a_plugin_that_is_not_installed_stays_in_it(scene: Scene) -> None:
    target = scene.tree.folder / "backup"
    with scene.here() as engine:
        engine.backup(engine.plan_backup(target))
    with Engine(
        scene.tree.folder / "state-without",
        environ={
            "HF_HUB_CACHE": str(scene.tree["hub"]),
            "HOME": str(scene.tree.folder / "nobody"),
            "HUBFOLD_NO_PLUGINS": "1",
        },
    ) as engine:
        engine.backup(engine.plan_backup(target, ["org/base"]))
        plan = engine.plan_restore(target, into=scene.there / "hub")
        assert "no loaded backend is called 'box'" in plan.refused[0].error
    with scene.elsewhere() as engine:
        done = engine.restore(target, engine.plan_restore(target))
    assert {model.name for model in done.models} == {"org/base", "acme/boxed"}
