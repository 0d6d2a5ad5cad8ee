"""What is marked, added up together and planned: the figures are those of the commands, and of the disk afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.content import Marks
from hubfold.engine.marking import Picture
from hubfold.errors import UsageError
from hubfold.reports.pictures import PlaceFigures
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files, repository_folder

MIB = 1 << 20


@pytest.fixture
def engine(tree: Tree, loopback_hub: LoopbackHub) -> Iterator[Engine]:
    """Two models, one of them twice in caches and once as a local copy, scanned."""
    loopback_hub.add("org/a", model_files("a", MIB))
    loopback_hub.add("org/b", model_files("b", 2 * MIB))
    tree.build({"hf/hub": hub_cache("org/a", "org/b"), "other/hub": hub_cache("org/a")})
    tree.build({"models/a": local_dir("org/a")})
    environ = {"HF_HUB_CACHE": str(tree["hf/hub"]), "HOME": str(tree.folder / "home")}
    with Engine(tree.folder / "state", environ=environ) as engine:
        engine.add_root(tree["other/hub"])
        engine.add_root(tree["models"])
        engine.scan(promise=False)
        yield engine


def marked(*places: Path, **more: frozenset[str]) -> Marks:
    return Marks(places=frozenset(map(str, places)), **more)


def used(folder: Path) -> int:
    """What the disk has below a folder, each inode once."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in (*names, *folders):
            st = os.lstat(os.path.join(place, name))
            found[st.st_dev, st.st_ino] = st.st_blocks * 512
    return sum(found.values())


def each(picture: Picture) -> dict[str, Marks]:
    """Every place, alone."""
    return {one.path: Marks(places=frozenset({one.path})) for one in picture.figures.places}


def by_place(engine: Engine) -> dict[str, PlaceFigures]:
    return {one.path: one for one in engine.picture().figures.places}


def test_the_index_alone_tells_roots_and_their_models(engine: Engine, tree: Tree) -> None:
    found = engine.remembered()
    assert [one.path for one in found.roots] == sorted(
        str(tree[p]) for p in ("hf/hub", "other/hub", "models")
    )
    assert {(one.name, one.root) for one in found.models} == {
        ("org/a", str(tree["hf/hub"])),
        ("org/a", str(tree["other/hub"])),
        ("org/a", str(tree["models"])),
        ("org/b", str(tree["hf/hub"])),
    }
    [b] = [one for one in found.models if one.name == "org/b"]
    [report] = engine.models(["org/b"]).models
    assert b.bytes == report.bytes


def test_a_picture_has_each_model_where_it_lies(engine: Engine, tree: Tree) -> None:
    found = by_place(engine)
    hub = repository_folder(tree["hf/hub"], "org/a")
    assert len(found) == 4
    place = found[str(hub)]
    assert (place.name, place.root, place.state, place.cache) == ("org/a", str(tree["hf/hub"]), "whole", True)
    assert {one.name for one in place.files} == set(model_files("a"))
    assert place.physical_bytes == used(hub / "blobs")
    assert not found[str(tree["models/a"])].cache


def test_what_one_place_frees_is_what_rm_says(engine: Engine, tree: Tree) -> None:
    picture = engine.picture()
    frees = engine.frees(picture, each(picture))
    hub = repository_folder(tree["hf/hub"], "org/b")
    assert frees[str(hub)] == engine.preview_remove(["org/b"]).bytes
    assert frees.keys() == {one.path for one in picture.figures.places}


def test_what_two_share_is_freed_with_both(engine: Engine, tree: Tree) -> None:
    first, second = (repository_folder(tree[cache], "org/a") for cache in ("hf/hub", "other/hub"))
    [weights] = [path for path in (first / "blobs").iterdir() if path.stat().st_size == MIB]
    twin = second / "blobs" / weights.name
    twin.unlink()
    twin.hardlink_to(weights)
    weights_blocks = weights.stat().st_blocks * 512
    picture = engine.picture()
    alone = engine.frees(picture, each(picture))
    joint = engine.joint_removal(picture, marked(first, second)).bytes
    assert joint == alone[str(first)] + alone[str(second)] + weights_blocks
    before = used(tree["hf"]) + used(tree["other"])
    report = engine.apply_removal(engine.plan_removal(marked(first, second)))
    assert report.bytes == joint
    # A second cache has the same inode no more: both are counted, by hand, and once is what both have.
    assert before - used(tree["hf"]) - used(tree["other"]) - weights_blocks == joint


def test_what_a_link_elsewhere_needs_counts_for_nobody(engine: Engine, tree: Tree) -> None:
    hub = repository_folder(tree["hf/hub"], "org/b")
    [weights] = [path for path in (hub / "blobs").iterdir() if path.stat().st_size == 2 * MIB]
    (tree["models"] / "mine.safetensors").symlink_to(weights)
    joint = engine.joint_removal(engine.picture(), marked(hub))
    assert joint.bytes < MIB
    assert joint.stays


def test_a_file_alone_and_all_of_its_model(engine: Engine, tree: Tree) -> None:
    hub = repository_folder(tree["hf/hub"], "org/b")
    one = Marks(files=frozenset({(str(hub), "model.safetensors")}))
    picture = engine.picture()
    freed = engine.joint_removal(picture, one).bytes
    assert 2 * MIB <= freed < 2 * MIB + 65536
    both = Marks(places=frozenset({str(hub)}), files=one.files)
    assert engine.joint_removal(picture, both) == engine.joint_removal(picture, marked(hub))
    report = engine.apply_removal(engine.plan_removal(one))
    assert report.bytes == freed and not (next((hub / "snapshots").iterdir()) / "model.safetensors").exists()


def test_what_lies_in_a_place_that_stays_is_not_removed(engine: Engine, tree: Tree) -> None:
    first, second = (repository_folder(tree[cache], "org/a") for cache in ("hf/hub", "other/hub"))
    marks = marked(first, second, stays=frozenset({str(tree["hf/hub"])}))
    plan = engine.plan_removal(marks)
    assert [one.path for one in plan.removals] == [str(second)]
    assert [one.path for one in plan.left] == [str(first)]


def test_marked_sets_are_folded_and_no_others(engine: Engine, tree: Tree) -> None:
    [found] = [one for one, _ in engine.dupes().sets]
    marks = Marks(sets=frozenset({found.replicas[0].path}))
    plan = engine.plan_fold(marks)
    assert plan.bytes == engine.dupes().reclaimable_bytes == engine.plan().bytes
    assert engine.joint_fold(engine.picture(), marks).bytes == plan.bytes
    assert not engine.plan_fold(marked(repository_folder(tree["hf/hub"], "org/b"))).actions
    assert engine.plan_fold(marked(tree["models/a"])).bytes == plan.bytes


def test_a_place_that_stays_keeps_its_files_as_they_are(engine: Engine, tree: Tree) -> None:
    [found] = [one for one, _ in engine.dupes().sets]
    for stays in ("models", "other/hub", "hf/hub"):
        marks = Marks(sets=frozenset({found.replicas[0].path}), stays=frozenset({str(tree[stays])}))
        plan = engine.plan_fold(marks)
        assert plan.actions
        assert not [one.path for one in plan.actions if one.path.startswith(f"{tree[stays]}/")]


def test_a_move_leaves_one_place(engine: Engine, tree: Tree) -> None:
    first, second = (repository_folder(tree[cache], "org/a") for cache in ("hf/hub", "other/hub"))
    plan = engine.plan_move_of(marked(first), tree.folder / "slow")
    assert [one.name for one in engine.preview_move(plan).models] == ["org/a"]
    with pytest.raises(UsageError, match="2 places"):
        engine.plan_move_of(marked(first, second), tree.folder / "slow")
    with pytest.raises(UsageError, match="can be moved"):
        engine.plan_move_of(Marks(sets=frozenset({"/x"})), tree.folder / "slow")


def test_what_is_gone_since_it_was_marked_is_told(engine: Engine, tree: Tree) -> None:
    plan = engine.plan_removal(marked(tree.folder / "gone"))
    assert not plan.removals and [one.path for one in plan.left] == [str(tree.folder / "gone")]
