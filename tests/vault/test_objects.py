"""The vault: what its objects are called, what `.links` says, and what gc may remove."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.content import LinkKind
from hubfold.errors import LeftAlone
from hubfold.folding.planner import Policy
from hubfold.vault import gc, names, objects
from hubfold.vault.need import Here
from tests.building.folding import Scene

MODEL = os.urandom(1 << 20)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.blob = scene.file(scene.cache, "blobs/x", MODEL)  # type: ignore[attr-defined]
    scene.copy = scene.file(scene.root("models"), "m", MODEL)  # type: ignore[attr-defined]
    scene.apply(scene.plan(scene.blob, scene.copy))  # type: ignore[attr-defined]
    return scene


def collect(scene: Scene) -> tuple[list[str], list[str]]:
    """(removed, reasons why others are kept)."""
    here = Here.now(lambda: [scene.log().run])
    report = gc.remove(*gc.find_garbage([str(scene.vault)], list(scene.roots), here=here), here=here)
    objects.clear_empty(str(scene.vault))
    return list(report.removed), [left.reason for left in report.kept]


def test_an_object_that_a_link_needs_stays_even_when_the_cache_lost_its_blob(scene: Scene) -> None:
    scene.blob.unlink()
    assert collect(scene) == ([], [f"{scene.copy} needs it"])
    assert scene.copy.read_bytes() == MODEL


def test_after_undo_nothing_of_the_vault_is_left(scene: Scene) -> None:
    scene.undo()
    removed, kept = collect(scene)
    assert len(removed) == 1 and kept == [] and not scene.vault.exists()


def test_a_link_that_was_moved_within_a_root_keeps_its_object(scene: Scene) -> None:
    scene.copy.parent.joinpath("sub").mkdir()
    moved = scene.copy.parent / "moved"
    scene.copy.rename(moved)
    scene.blob.unlink()
    assert collect(scene)[0] == [] and moved.read_bytes() == MODEL


def test_a_link_on_a_drive_that_is_away_keeps_its_object(scene: Scene) -> None:
    (object_,) = objects.objects(str(scene.vault))
    objects.note_links(object_, [objects.NeededBy("/no/such/mount/m", "/no/such/mount", scene.log().run)])
    scene.copy.unlink()
    removed, kept = collect(scene)
    assert removed == [] and "cannot be looked at now" in kept[0]


def test_a_noted_link_that_is_a_file_again_needs_nothing(scene: Scene) -> None:
    scene.copy.unlink()
    scene.copy.write_bytes(b"own")
    assert len(collect(scene)[0]) == 1


def test_what_removing_frees_is_nothing_while_the_cache_has_the_blob(scene: Scene) -> None:
    scene.copy.unlink()
    garbage, _ = gc.find_garbage([str(scene.vault)], list(scene.roots), here=Here.now())
    assert [item.bytes for item in garbage] == [0]
    blocks = scene.blob.stat().st_blocks * 512
    scene.blob.unlink()
    garbage, _ = gc.find_garbage([str(scene.vault)], list(scene.roots), here=Here.now())
    assert [item.bytes for item in garbage] == [blocks]


def test_foreign_files_in_the_vault_are_not_touched(scene: Scene) -> None:
    (object_,) = objects.objects(str(scene.vault))
    foreign = Path(object_).with_name("notes.txt")
    foreign.write_text("mine")
    scene.copy.unlink()
    collect(scene)
    assert foreign.read_text() == "mine"


def test_a_vault_that_another_run_holds_is_left_alone(scene: Scene) -> None:
    scene.copy.unlink()
    with objects.lock(str(scene.vault)):
        report = gc.remove(*gc.find_garbage([str(scene.vault)], [], here=Here.now()), here=Here.now())
        assert report.removed == () and "another program holds" in report.failed[0].error
        with pytest.raises(LeftAlone), objects.lock(str(scene.vault)):
            pass


def test_lines_that_make_no_sense_are_passed_over(scene: Scene) -> None:
    (object_,) = objects.objects(str(scene.vault))
    with open(object_ + names.LINKS, "ab") as file:
        file.write(b'{"link": 3}\n[]\n\xff\n{"link": "/x\\u0000", "mount": "/", "run": ""}\n{"link": "/half')
    assert [entry.link for entry in objects.read_links(object_)] == [str(scene.copy)]
    objects.note_links(object_, [objects.NeededBy("/later", "/", "run")])
    assert [entry.link for entry in objects.read_links(object_)] == [str(scene.copy), "/later"]


def test_an_object_that_holds_something_else_is_not_replaced(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m", MODEL)
    plan = scene.plan(blob, copy)
    stranger = Path(plan.actions[0].target)
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"something else")
    outcomes = scene.apply(plan)
    assert "another file under the digest" in outcomes[0].error
    assert stranger.read_bytes() == b"something else" and copy.read_bytes() == MODEL and not copy.is_symlink()


def test_a_second_link_to_a_kept_object_needs_no_new_object(scene: Scene) -> None:
    (object_,) = objects.objects(str(scene.vault))
    held = scene.replica(scene.blob)
    other = scene.file(scene.root("more"), "m", MODEL)
    scene.apply(scene.plan(held, other))
    assert list(objects.objects(str(scene.vault))) == [object_]
    assert {entry.link for entry in objects.read_links(object_)} == {str(scene.copy), str(other)}


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("ab" * 32, {"sha256": "ab" * 32}),
        ("ab" * 20, {"git-sha1": "ab" * 20}),
        ("ab" * 16, {"xxh3_128": "ab" * 16}),
        ("ab" * 32 + ".0123456789ab", {"sha256": "ab" * 32}),
        ("ab" * 32 + ".links", {}),
        ("AB" * 32, {}),
        ("ab" * 31, {}),
    ],
)
def test_an_object_says_its_digest_by_its_name(name: str, claims: dict[str, str]) -> None:
    assert names.claims_of(name) == claims


def test_a_xet_hash_names_no_object_since_it_looks_like_a_sha256() -> None:
    assert names.object_path("/v", {"xet": "ab" * 32}) is None
    assert names.object_path("/v", {"xet": "ab" * 32, "xxh3_128": "cd" * 16}) == f"/v/objects/cd/{'cd' * 16}"


def test_hard_linked_copies_need_no_vault(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m", MODEL)
    scene.apply(scene.plan(blob, copy, policy=Policy(link=LinkKind.HARDLINK)))
    assert not objects.is_vault(str(scene.vault))


class Crash(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("steps", range(8))
def test_a_gc_that_was_cut_short_is_finished_by_the_next(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, steps: int
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
