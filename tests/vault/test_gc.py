"""What gc may remove, and what needs an object."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.errors import LeftAlone
from hubfold.vault import gc, names, objects
from hubfold.vault.need import Here
from tests.building.folding import Folded


def collect(scene: Folded) -> tuple[list[str], list[str]]:
    """(removed, reasons why others are kept)."""
    here = Here.now(lambda: [scene.log().run])
    report = gc.remove(*gc.find_garbage([str(scene.vault)], list(scene.roots), here=here), here=here)
    objects.clear_empty(str(scene.vault))
    return list(report.removed), [left.reason for left in report.kept]


def test_an_object_that_a_link_needs_stays_even_when_the_cache_lost_its_blob(scene: Folded) -> None:
    scene.blob.unlink()
    assert collect(scene) == ([], [f"{scene.copy} needs it"])
    assert scene.copy.read_bytes() == Folded.MODEL


def test_after_undo_nothing_of_the_vault_is_left(scene: Folded) -> None:
    scene.undo()
    removed, kept = collect(scene)
    assert len(removed) == 1 and kept == [] and not scene.vault.exists()


def test_a_link_that_was_moved_within_a_root_keeps_its_object(scene: Folded) -> None:
    scene.copy.parent.joinpath("sub").mkdir()
    moved = scene.copy.parent / "moved"
    scene.copy.rename(moved)
    scene.blob.unlink()
    assert collect(scene)[0] == [] and moved.read_bytes() == Folded.MODEL


def test_a_link_on_a_drive_that_is_away_keeps_its_object(scene: Folded) -> None:
    (object_,) = objects.objects(str(scene.vault))
    objects.note_links(object_, [objects.NeededBy("/no/such/mount/m", "/no/such/mount", scene.log().run)])
    scene.copy.unlink()
    removed, kept = collect(scene)
    assert removed == [] and "cannot be looked at now" in kept[0]


def test_a_noted_link_that_is_a_file_again_needs_nothing(scene: Folded) -> None:
    scene.copy.unlink()
    scene.copy.write_bytes(b"own")
    assert len(collect(scene)[0]) == 1


def test_what_removing_frees_is_nothing_while_the_cache_has_the_blob(scene: Folded) -> None:
    scene.copy.unlink()
    garbage, _ = gc.find_garbage([str(scene.vault)], list(scene.roots), here=Here.now())
    assert [item.bytes for item in garbage] == [0]
    blocks = scene.blob.stat().st_blocks * 512
    scene.blob.unlink()
    garbage, _ = gc.find_garbage([str(scene.vault)], list(scene.roots), here=Here.now())
    assert [item.bytes for item in garbage] == [blocks]


def test_foreign_files_in_the_vault_are_not_touched(scene: Folded) -> None:
    (object_,) = objects.objects(str(scene.vault))
    foreign = Path(object_).with_name("notes.txt")
    foreign.write_text("mine")
    scene.copy.unlink()
    collect(scene)
    assert foreign.read_text() == "mine"


def test_a_vault_that_another_run_holds_is_left_alone(scene: Folded) -> None:
    scene.copy.unlink()
    with objects.lock(str(scene.vault)):
        report = gc.remove(*gc.find_garbage([str(scene.vault)], [], here=Here.now()), here=Here.now())
        assert report.removed == () and "another program holds" in report.failed[0].error
        with pytest.raises(LeftAlone), objects.lock(str(scene.vault)):
            pass


def test_lines_that_make_no_sense_are_passed_over(scene: Folded) -> None:
    (object_,) = objects.objects(str(scene.vault))
    with open(object_ + names.LINKS, "ab") as file:
        file.write(b'{"link": 3}\n[]\n\xff\n{"link": "/x\\u0000", "mount": "/", "run": ""}\n{"link": "/half')
    assert [entry.link for entry in objects.read_links(object_)] == [str(scene.copy)]
    objects.note_links(object_, [objects.NeededBy("/later", "/", "run")])
    assert [entry.link for entry in objects.read_links(object_)] == [str(scene.copy), "/later"]


class Crash(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("steps", range(8))
def test_a_gc_that_was_cut_short_is_finished_by_the_next(
    scene: Folded, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    scene.undo()
    left = [steps]

    def counted(real):  # type: ignore[no-untyped-def]
        def call(*args: object, **kwargs: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Crash
            real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("unlink", "rmdir"):
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            collect(scene)
        except Crash:
            pass
        else:
            assert left[0] >= 0
    garbage, kept = gc.find_garbage(
        [str(scene.vault)] if objects.is_vault(str(scene.vault)) else [], [], here=Here.now()
    )
    gc.remove(garbage, here=Here.now())
    objects.clear_empty(str(scene.vault)) if garbage else None
    assert kept == [] and not any(path.is_file() for path in scene.vault.rglob("*"))


def test_two_objects_that_are_one_file_go_together_and_the_last_is_told(scene: Folded) -> None:
    """As those of a link and of a cache's blob: both are names of the file that the two read."""
    (object_,) = objects.objects(str(scene.vault))
    os.link(object_, f"{object_}.{'0' * 12}")
    scene.copy.unlink()
    scene.blob.unlink()
    garbage, _ = gc.find_garbage([str(scene.vault)], list(scene.roots), here=Here.now())
    size = os.lstat(object_).st_blocks * 512
    assert [(item.last, item.bytes) for item in garbage] == [(False, 0), (True, size)]
    removed, kept = collect(scene)
    assert removed == [object_, f"{object_}.{'0' * 12}"] and not kept


def test_a_link_that_was_led_to_another_vault_needs_no_object_here(scene: Folded, tmp_path: Path) -> None:
    """It names an object of the same name; what has noted it is what it reads. One that nobody noted counts here."""
    (object_,) = objects.objects(str(scene.vault))
    name = os.path.basename(object_)
    other = tmp_path / "other" / "objects" / name[:2] / name
    other.parent.mkdir(parents=True)
    other.write_bytes(Folded.MODEL)
    scene.copy.unlink()
    scene.copy.symlink_to(other)
    objects.drop_links(object_, objects.read_links(object_))
    assert collect(scene)[0] == []
    here = Here.now()
    vault = names.of_object(str(other))
    objects.note_links(
        str(other), [here.needed_by(str(scene.copy), str(scene.copy.parent), "run", vault, "/")]
    )
    assert collect(scene)[0] == [object_] and scene.copy.read_bytes() == Folded.MODEL
