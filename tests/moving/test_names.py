"""All names that hubfold knows of a file move with it: of other models, of local copies, and what reads a vault."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hubfold.content import LinkKind
from hubfold.engine.places import Places
from hubfold.errors import NoSpace
from hubfold.journal.journal import Journal
from hubfold.places.places import PlaceAway
from tests.building import tree
from tests.moving.conftest import ONE, Machine

WEIGHTS = ONE["model.safetensors"]


def fold(machine: Machine, *paths: Path, **how: object) -> None:
    machine.engine.scan()
    machine.engine.apply(machine.engine.plan(paths, **how))  # type: ignore[arg-type]


@pytest.fixture
def copy(machine: Machine, tmp_path: Path) -> Path:
    """A local copy of org/one that was folded into the cache: a link to its vault."""
    folder = tmp_path / "models" / "one"
    tree.local_dir(str(folder), ONE)
    machine.engine.add_root(folder)
    fold(machine)
    copy = folder / "model.safetensors"
    assert copy.is_symlink() and machine.blob().stat().st_nlink == 2
    return copy


def objects(hub: Path) -> list[Path]:
    return [path for path in (hub.parent / "hubfold").rglob("objects/*/*") if path.suffix != ".links"]


@pytest.mark.slow
def test_a_file_that_two_models_share_becomes_a_link_in_both(machine: Machine) -> None:
    tree.cache(str(machine.hub), "org/fork", ONE)
    before = tree.census(str(machine.hub))
    fold(machine)
    fork = machine.blob(repo="org/fork")
    assert fork.stat().st_ino == machine.blob().stat().st_ino
    preview = machine.engine.preview_move(machine.engine.plan_move(["org/one"], machine.slow))
    report = machine.move("org/one")
    assert set(preview.models[0].links) == set(report.models[0].links) == {str(fork), str(machine.blob())}
    assert machine.blob().is_symlink() and fork.is_symlink() and report.freed >= len(WEIGHTS)
    assert report.freed == preview.freed and not tree.losses(before, str(machine.hub))
    machine.engine.undo()
    assert fork.stat().st_ino == machine.blob().stat().st_ino and not fork.is_symlink()


@pytest.mark.slow
def test_a_local_copy_that_is_one_file_with_it_becomes_a_link(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "one"
    tree.local_dir(str(folder), ONE)
    machine.engine.add_root(folder)
    fold(machine, link=LinkKind.HARDLINK)
    copy = folder / "model.safetensors"
    assert copy.stat().st_ino == machine.blob().stat().st_ino
    assert machine.move("org/one").freed >= len(WEIGHTS)
    assert copy.is_symlink() and copy.read_bytes() == WEIGHTS and not machine.losses()
    machine.engine.undo()
    assert copy.stat().st_ino == machine.blob().stat().st_ino


@pytest.mark.slow
def test_links_that_read_it_through_a_vault_are_led_to_the_copy(machine: Machine, copy: Path) -> None:
    text = os.readlink(copy)
    report = machine.move("org/one")
    assert not report.failed and report.freed >= len(WEIGHTS)
    assert set(report.models[0].links) == {str(copy), str(machine.blob())}
    assert copy.read_bytes() == WEIGHTS and not machine.losses() and machine.blob().is_symlink()
    assert not objects(machine.hub)
    assert copy.resolve().is_relative_to(machine.slow.parent)
    found = machine.engine.doctor().findings
    assert not found, found
    machine.engine.undo(report.models[0].run)
    assert os.readlink(copy) == text and copy.read_bytes() == WEIGHTS
    assert copy.stat().st_ino == machine.blob().stat().st_ino and not machine.losses()
    assert not tree.files(str(machine.slow.parent)), tree.files(str(machine.slow.parent))


@pytest.mark.slow
def test_nothing_is_kept_for_the_link_of_a_farm_that_was_taken_back_after_the_move(
    machine: Machine, tmp_path: Path
) -> None:
    """The move has noted the link too, under its own run; and the farm is gone with its folder."""
    machine.engine.scan()
    machine.engine.farm(tmp_path / "farm")
    made = {*map(str, objects(machine.hub))}
    machine.move("org/one")
    machine.engine.undo()
    assert {*map(str, objects(machine.hub))} == made
    machine.engine.undo()
    assert not (tmp_path / "farm").exists()
    assert {*machine.engine.gc().removed} == made
    assert not machine.losses()


def test_what_the_journal_does_not_take_does_not_happen(
    machine: Machine, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link is led nowhere, and its object stays, where the step that says so could not be written."""
    text = os.readlink(copy)
    real = Journal.sync

    def full(book: Journal) -> None:
        if any(b'"release"' in line for line in book._pending):
            book._pending.clear()
            raise OSError(errno.ENOSPC, "No space left on device")
        real(book)

    monkeypatch.setattr(Journal, "sync", full)
    failed = {one.path: one.error for one in machine.move("org/one").failed}
    assert "no space left" in failed[str(objects(machine.hub)[0])], failed
    assert os.readlink(copy) == text and not machine.losses()


@pytest.mark.slow
def test_the_preview_names_them(machine: Machine, copy: Path) -> None:
    plan = machine.engine.plan_move(["org/one"], machine.slow)
    told = machine.engine.preview_move(plan)
    assert set(told.models[0].links) == {str(copy), str(machine.blob())}
    done = machine.engine.apply_move(plan)
    assert told.freed == done.freed and told.models[0].links == done.models[0].links


@pytest.mark.slow
def test_the_fold_can_be_taken_back_before_the_move(machine: Machine, copy: Path) -> None:
    fold_run = machine.engine.runs()[0].run
    report = machine.move("org/one")
    undone = machine.engine.undo(fold_run)
    assert undone.restored == (str(copy),) and not copy.is_symlink() and copy.read_bytes() == WEIGHTS
    machine.engine.undo(report.models[0].run)
    assert not machine.blob().is_symlink() and not machine.losses()


@pytest.mark.slow
def test_and_after_it(machine: Machine, copy: Path) -> None:
    fold_run = machine.engine.runs()[0].run
    machine.engine.undo(machine.move("org/one").models[0].run)
    machine.engine.undo(fold_run)
    assert not copy.is_symlink() and copy.read_bytes() == WEIGHTS
    assert not tree.differences(machine.before, str(machine.hub))


def test_a_name_outside_of_the_roots_keeps_the_space_and_is_told(machine: Machine, tmp_path: Path) -> None:
    tree.cache(str(machine.hub), "org/one", {"second.bin": tree.model("second")})
    os.link(machine.blob(), tmp_path / "other.safetensors")
    preview = machine.engine.preview_move(machine.engine.plan_move(["org/one"], machine.slow))
    assert [one.path for one in preview.left] == [str(machine.blob())]
    assert "1 more hard link(s) of it lie outside" in preview.left[0].reason
    report = machine.move("org/one")
    assert report.left == preview.left and report.freed == preview.freed
    assert not machine.blob().is_symlink() and machine.blob("second.bin").is_symlink()


def test_a_link_that_cannot_be_seen_keeps_the_space(machine: Machine, copy: Path) -> None:
    """As on a drive that is away: its folder is gone with its root."""
    os.rename(copy.parent.parent, copy.parent.parent.parent / "elsewhere")
    report = machine.move("org/one")
    assert not report.models and str(copy) in report.left[0].reason
    assert not machine.blob().is_symlink() and objects(machine.hub)
    assert not machine.slow.exists()


def test_a_link_that_became_a_file_since_the_plan_stays_one(machine: Machine, copy: Path) -> None:
    plan = machine.engine.plan_move(["org/one"], machine.slow)
    copy.unlink()
    copy.write_bytes(b"the user's own")
    report = machine.engine.apply_move(plan)
    assert copy.read_bytes() == b"the user's own" and not report.failed
    assert machine.blob().is_symlink() and not machine.losses()


def test_a_link_that_came_since_the_plan_is_led_too(machine: Machine, copy: Path, tmp_path: Path) -> None:
    plan = machine.engine.plan_move(["org/one"], machine.slow)
    later = copy.parent / "later.safetensors"
    later.symlink_to(os.readlink(copy))
    machine.engine.apply_move(plan)
    assert later.read_bytes() == copy.read_bytes() == WEIGHTS
    assert machine.blob().is_symlink() and not objects(machine.hub)


@pytest.mark.slow
def test_the_blob_of_another_cache_is_led_too_where_it_may_stay_a_link(
    machine: Machine, tmp_path: Path
) -> None:
    """On the drive of the copy it could only be one file with that: then it stays, and is told."""
    other = machine.slow.parent / "second" / "hub"
    blob = Path(tree.cache(str(other), "org/one", ONE)["model.safetensors"])
    machine.engine.add_root(other)
    fold(machine)
    text = os.readlink(blob)
    [stays] = machine.move("org/one", source=machine.hub).left
    assert str(blob) in stays.reason and "one file with the copy" in stays.reason
    report = machine.engine.apply_move(
        machine.engine.plan_move(["org/one"], tmp_path / "third", source=machine.hub)
    )
    assert not report.failed and blob.read_bytes() == WEIGHTS and os.readlink(blob) != text
    assert blob.resolve().is_relative_to(tmp_path / "hubfold")
    assert not tree.losses(machine.before, str(machine.hub))


class Crash(BaseException):
    """The process is gone."""


@pytest.mark.slow
@pytest.mark.parametrize("newest_first", [True, False])
def test_a_crash_between_links_and_object_can_be_gone_on_with_and_taken_back(
    machine: Machine, copy: Path, monkeypatch: pytest.MonkeyPatch, newest_first: bool
) -> None:
    """The links are led by one run, the object goes by the next: in either order they lead to one that is there."""

    def crash(*what: object, **how: object) -> None:
        raise Crash

    text = os.readlink(copy)
    plan = machine.engine.plan_move(["org/one"], machine.slow)
    with monkeypatch.context() as patch:
        patch.setattr("hubfold.care.follow.gc.remove", crash)
        with pytest.raises(Crash):
            machine.engine.apply_move(plan)
    assert objects(machine.hub) and copy.resolve().is_relative_to(machine.slow.parent)
    machine.engine.recover()
    assert machine.move("org/one").freed >= len(WEIGHTS) and not objects(machine.hub)
    runs = [one.run for one in machine.engine.runs() if one.command == "move"]
    for run in runs if newest_first else reversed(runs):
        machine.engine.undo(run)
    assert os.readlink(copy) == text and copy.read_bytes() == WEIGHTS and not machine.blob().is_symlink()
    if newest_first:
        assert copy.stat().st_ino == machine.blob().stat().st_ino
    assert not machine.losses()
    assert {one.kind for one in machine.engine.doctor().findings} <= {"unneeded-objects"}


def test_gc_keeps_what_they_read_and_takes_nothing(machine: Machine, copy: Path) -> None:
    machine.move("org/one")
    assert machine.engine.gc().removed == (str(machine.hub.parent / "hubfold"),)
    assert copy.read_bytes() == WEIGHTS and not machine.losses()


@pytest.fixture
def deleted(machine: Machine, copy: Path) -> Path:
    """Only the vault has what the local copy reads: a client deleted the model."""
    machine.blob().unlink()
    for path in sorted((machine.hub / "models--org--one").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    (machine.hub / "models--org--one").rmdir()
    machine.engine.scan()
    return copy


@pytest.mark.slow
def test_a_whole_cache_goes_with_what_only_its_vault_has(machine: Machine, deleted: Path) -> None:
    text = os.readlink(deleted)
    plan = machine.engine.plan_move([], machine.slow, source=machine.hub, whole=True)
    told = machine.engine.preview_move(plan)
    assert [one.revisions for one in told.models] == [("a" * 40,), ()]
    assert not machine.slow.exists()
    done = machine.engine.apply_move(plan)
    assert not done.failed and not done.left
    assert (told.copied, told.freed) == (done.copied, done.freed)
    assert [one.links for one in told.models] == [one.links for one in done.models]
    assert deleted.read_bytes() == WEIGHTS and deleted.resolve().is_relative_to(machine.slow.parent)
    assert not objects(machine.hub)
    for one in reversed(done.models):
        preview = machine.engine.preview_undo(one.run)
        undone = machine.engine.undo(one.run)
        assert set(preview.removed) == set(undone.removed) and set(preview.folders) == set(undone.folders)
    assert os.readlink(deleted) == text and deleted.read_bytes() == WEIGHTS
    assert not tree.files(str(machine.slow.parent)), tree.files(str(machine.slow.parent))


@pytest.mark.slow
def test_all_of_a_cache_leaves_that_where_it_is(machine: Machine, deleted: Path) -> None:
    report = machine.move(source=machine.hub)
    assert [one.name for one in report.models] == ["org/two"]
    assert deleted.resolve() == objects(machine.hub)[0]


def test_on_one_drive_both_vaults_get_one_file(machine: Machine, deleted: Path, tmp_path: Path) -> None:
    inode = deleted.stat().st_ino
    plan = machine.engine.plan_move([], tmp_path / "new" / "hub", source=machine.hub, whole=True)
    assert plan.alone[0].copied == plan.alone[0].frees == 0
    report = machine.engine.apply_move(plan)
    assert not report.failed and deleted.stat().st_ino == inode
    assert deleted.resolve().is_relative_to(tmp_path / "new")


def test_what_only_a_vault_has_stays_where_a_link_to_it_is_away(machine: Machine, deleted: Path) -> None:
    os.rename(deleted.parent.parent, deleted.parent.parent.parent / "elsewhere")
    report = machine.move(source=machine.hub, whole=True)
    assert [one.name for one in report.models] == ["org/two"]
    assert any(str(deleted) in one.reason for one in report.left) and objects(machine.hub)


@pytest.mark.slow
def test_where_the_drive_leaves_between_plan_and_act_nothing_goes(machine: Machine, deleted: Path) -> None:
    """Its links cannot be seen then: the copy may be made, but the object stays."""
    plan = machine.engine.plan_move([], machine.slow, source=machine.hub, whole=True)
    os.rename(deleted.parent.parent, deleted.parent.parent.parent / "elsewhere")
    report = machine.engine.apply_move(plan)
    assert report.failed and objects(machine.hub)
    os.rename(deleted.parent.parent.parent / "elsewhere", deleted.parent.parent)
    assert deleted.read_bytes() == WEIGHTS


@pytest.mark.slow
def test_damaged_bytes_of_a_vault_do_not_go(machine: Machine, deleted: Path) -> None:
    plan = machine.engine.plan_move([], machine.slow, source=machine.hub, whole=True)
    [object_] = objects(machine.hub)
    object_.chmod(0o644)
    object_.write_bytes(tree.fine_tune(WEIGHTS))
    report = machine.engine.apply_move(plan)
    assert report.failed and objects(machine.hub) == [object_]
    assert deleted.resolve() == object_


def test_no_room_for_the_whole_is_told_with_figures_before_anything_is_done(
    machine: Machine, deleted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubfold.engine.moving.free_bytes", lambda folder: 1_500_000)
    with pytest.raises(NoSpace, match=r"has 1\.5M free, and this takes 2\.1M"):
        machine.move(source=machine.hub, whole=True)
    assert not machine.slow.exists() and objects(machine.hub)


def test_a_place_that_left_before_it_is_the_vaults_turn_gets_nothing(
    machine: Machine, deleted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = machine.engine.plan_move([], machine.slow, source=machine.hub, whole=True)
    plan = replace(plan, models=())

    def away(places: Places, cache: str) -> None:
        raise PlaceAway(f"{cache} is away")

    monkeypatch.setattr(Places, "check_room", lambda places, cache, wanted: None)
    monkeypatch.setattr(Places, "there", away)
    report = machine.engine.apply_move(plan)
    assert [failed.path for failed in report.failed] == [str(machine.slow)]
    assert not machine.slow.exists() and objects(machine.hub) == [deleted.resolve()]
