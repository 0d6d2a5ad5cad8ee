"""Where a vault, or a root, lies that is not where a run knew it."""

from __future__ import annotations

from pathlib import Path

from hubfold.disk.identity import Mounts, place_of
from hubfold.vault import objects
from hubfold.vault.moved import Moved
from tests.building.folding import Folded


def test_a_vault_is_known_by_its_id_where_it_is_now(scene: Folded) -> None:
    log = scene.log()
    (intent,) = log.intents.values()
    there = Moved([str(scene.vault)], [], Mounts.now())
    assert there.object_of(intent.target, intent.path, log.run, log.places) is None, "it did not move"
    new = scene.base / "new"
    scene.vault.parent.rename(new)
    vault = str(new / "hubfold")
    (object_,) = objects.objects(vault)
    moved = Moved([vault], [], Mounts.now())
    assert moved.object_of(intent.target, intent.path, log.run, log.places) == object_
    Path(object_).unlink()
    assert moved.object_of(intent.target, intent.path, log.run, log.places) is None, "it has no such object"


def test_another_vault_is_not_where_it_moved(scene: Folded) -> None:
    log = scene.log()
    (intent,) = log.intents.values()
    new = scene.base / "new"
    scene.vault.parent.rename(new)
    marker = new / "hubfold/.hubfold-vault"
    marker.write_text(marker.read_text().partition("\nid ")[0] + "\nid " + "0" * 32 + "\n")
    moved = Moved([str(new / "hubfold")], [], Mounts.now())
    assert moved.object_of(intent.target, intent.path, log.run, log.places) is None
    # Of a run of an older version nobody knows the id: the list of the object tells.
    assert moved.object_of(intent.target, intent.path, log.run, {}) is not None
    assert moved.object_of(intent.target, intent.path, "another-run", {}) is None


def test_a_root_is_known_by_what_it_is(tmp_path: Path) -> None:
    old, other = tmp_path / "old", tmp_path / "other"
    old.mkdir()
    other.mkdir()
    places = {str(old): place_of(str(old), Mounts.now())}
    assert Moved([], [str(other)], Mounts.now()).roots_now(places) == {}
    old.rename(tmp_path / "new")
    roots = [str(other), str(tmp_path / "new")]
    assert Moved([], roots, Mounts.now()).roots_now(places) == {str(old): str(tmp_path / "new")}
    assert Moved([], [str(other)], Mounts.now()).roots_now(places) == {}
