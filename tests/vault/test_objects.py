"""The objects of a vault: made once for each content, and never in the place of another file."""

from __future__ import annotations

from pathlib import Path

from hubfold.content import LinkKind
from hubfold.folding.planner import Policy
from hubfold.vault import objects
from tests.building.folding import Folded, Scene


def test_an_object_that_holds_something_else_is_not_replaced(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    blob = scene.file(scene.cache, "blobs/x", Folded.MODEL)
    copy = scene.file(scene.root("models"), "m", Folded.MODEL)
    plan = scene.plan(blob, copy)
    stranger = Path(plan.actions[0].target)
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"something else")
    outcomes = scene.apply(plan)
    assert "another file under the digest" in outcomes[0].error
    assert (
        stranger.read_bytes() == b"something else"
        and copy.read_bytes() == Folded.MODEL
        and not copy.is_symlink()
    )


def test_a_second_link_to_a_kept_object_needs_no_new_object(scene: Folded) -> None:
    (object_,) = objects.objects(str(scene.vault))
    held = scene.replica(scene.blob)
    other = scene.file(scene.root("more"), "m", Folded.MODEL)
    scene.apply(scene.plan(held, other))
    assert list(objects.objects(str(scene.vault))) == [object_]
    assert {entry.link for entry in objects.read_links(object_)} == {str(scene.copy), str(other)}


def test_hard_linked_copies_need_no_vault(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    blob = scene.file(scene.cache, "blobs/x", Folded.MODEL)
    copy = scene.file(scene.root("models"), "m", Folded.MODEL)
    scene.apply(scene.plan(blob, copy, policy=Policy(link=LinkKind.HARDLINK)))
    assert not objects.is_vault(str(scene.vault))
