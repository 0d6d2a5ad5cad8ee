"""A model that was moved is whole in its new place and loads from both; what cannot move stays, and says why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir, snapshot_download

from hubfold.disk.in_use import is_open
from hubfold.errors import HubfoldError, NoSpace, UsageError
from hubfold.models.names import UnknownModel
from hubfold.moving.plan import OPEN
from hubfold.progress import Silent, Stop
from tests.building import tree
from tests.moving.conftest import ONE, Machine


def given(cache: Path, repo: str = "org/one") -> dict[str, bytes]:
    """What a client gets of a model, offline."""
    folder = Path(snapshot_download(repo, cache_dir=cache, local_files_only=True))
    return {name: (folder / name).read_bytes() for name in ONE}


def test_a_moved_model_loads_from_both_places(machine: Machine) -> None:
    report = machine.move("org/one")
    assert [one.name for one in report.models] == ["org/one"] and not report.failed and not report.left
    assert given(machine.hub) == given(machine.slow) == ONE
    assert not machine.losses()
    assert machine.blob().is_symlink() and not machine.blob("config.json").is_symlink()
    assert report.freed >= len(ONE["model.safetensors"])
    copies = machine.slow / "models--org--one" / "blobs"
    assert {path.read_bytes() for path in copies.iterdir()} == set(ONE.values())
    assert not any(path.is_symlink() for path in copies.iterdir())


def test_no_client_that_deletes_the_old_place_takes_the_copy(machine: Machine) -> None:
    """The oldest ones unlink what a link resolves to."""
    machine.move("org/one")
    os.unlink(os.path.realpath(machine.blob()))
    assert given(machine.slow) == ONE
    scan_cache_dir(machine.slow).delete_revisions("a" * 40).execute()
    assert not (machine.slow / "models--org--one").exists()


def test_deleting_the_copy_leaves_the_old_place_readable(machine: Machine) -> None:
    machine.move("org/one")
    scan_cache_dir(machine.slow).delete_revisions("a" * 40).execute()
    assert given(machine.hub) == ONE


def test_the_preview_is_what_is_done(machine: Machine) -> None:
    plan = machine.engine.plan_move(["org/one"], machine.slow)
    told = machine.engine.preview_move(plan)
    assert not machine.slow.exists() and not machine.losses()
    done = machine.engine.apply_move(plan)
    assert (
        [one.links for one in told.models] == [one.links for one in done.models] == [(str(machine.blob()),)]
    )
    assert (told.copied, told.freed) == (done.copied, done.freed)


def test_undo_brings_it_back_and_takes_the_copy_away(machine: Machine) -> None:
    machine.move("org/one")
    preview = machine.engine.preview_undo(machine.engine.move_of("org/one"))
    report = machine.engine.undo(machine.engine.move_of("org/one"))
    assert preview.restored == report.restored == (str(machine.blob()),)
    assert set(preview.removed) == set(report.removed) and set(preview.folders) == set(report.folders)
    assert not tree.differences(machine.before, str(machine.hub))
    assert not (machine.slow / "models--org--one").exists()
    with pytest.raises(HubfoldError, match="no move of org/one"):
        machine.engine.move_of("org/one")
    assert not tree.files(str(machine.slow.parent))


@pytest.mark.slow
def test_it_can_go_again_after_it_came_back(machine: Machine) -> None:
    for _ in range(2):
        assert machine.move("org/one").models and machine.blob().is_symlink()
        machine.engine.undo()
        assert not machine.blob().is_symlink() and not machine.losses()


def test_undo_leaves_a_copy_that_was_there_before(machine: Machine) -> None:
    tree.cache(str(machine.slow), "org/one", ONE)
    report = machine.move("org/one")
    assert report.copied == 0 and machine.blob().is_symlink()
    machine.engine.undo()
    assert given(machine.slow) == given(machine.hub) == ONE and not machine.blob().is_symlink()


def test_undo_leaves_the_copy_where_a_path_was_changed_since(machine: Machine) -> None:
    machine.move("org/one")
    os.unlink(machine.blob())
    machine.engine.undo()
    assert given(machine.slow) == ONE


@pytest.mark.parametrize("repo", ["org/one", "org/two"])
def test_undo_leaves_a_copy_that_got_more_since(machine: Machine, repo: str) -> None:
    """A client that was pointed at the new place and fetched what nobody had asked for before."""
    machine.move(repo)
    [snapshot] = (machine.slow / f"models--{repo.replace('/', '--')}/snapshots").iterdir()
    blob = snapshot.parents[1] / "blobs" / ("e" * 64)
    blob.write_bytes(b"only here")
    (snapshot / "more.bin").symlink_to(f"../../blobs/{blob.name}")
    report = machine.engine.undo()
    assert report.restored and not report.removed
    assert (snapshot / "more.bin").read_bytes() == b"only here"
    assert not machine.losses()


@pytest.mark.parametrize("other", [b'{"edited": true}', b'{"small": null}'])
def test_undo_leaves_a_copy_in_which_a_file_became_another(machine: Machine, other: bytes) -> None:
    machine.move("org/one")
    [snapshot] = (machine.slow / "models--org--one/snapshots").iterdir()
    config = (snapshot / "config.json").resolve()
    config.chmod(0o644)
    config.write_bytes(other)
    report = machine.engine.undo()
    assert not [path for path in report.removed if "models--org--one" in path]
    if len(other) == len(ONE["config.json"]):
        [failed] = report.failed
        assert "all of it was left alone" in failed.error and "bytes differ" in failed.error
    assert (snapshot / "config.json").read_bytes() == other
    assert given(machine.hub) == ONE


@pytest.mark.slow
def test_a_move_that_was_stopped_goes_on(machine: Machine) -> None:
    """What was copied before is compared, and not copied again; undo takes the whole copy away."""
    workspace = machine.engine.workspace

    class Stopping(Silent):
        def advance(self, amount: int) -> None:
            workspace.stop.set()

    plan = machine.engine.plan_move(["org/one"], machine.slow)
    workspace.progress = Stopping()
    assert machine.engine.apply_move(plan).interrupted
    assert not machine.losses() and not machine.blob().is_symlink()
    assert not [path for path in tree.files(str(machine.slow)) if ".hubfold" in path]
    workspace.progress, workspace.stop = Silent(), Stop()
    report = machine.move("org/one")
    assert report.models and given(machine.slow) == given(machine.hub) == ONE
    machine.engine.undo()
    assert not (machine.slow / "models--org--one").exists()


def test_what_was_copied_before_is_not_copied_again(machine: Machine) -> None:
    """A move that was killed had come so far."""
    data = ONE["model.safetensors"]
    tree.write(str(machine.slow / "models--org--one" / "blobs" / machine.blob().name), data)
    report = machine.move("org/one")
    assert report.copied < 100 and given(machine.slow) == ONE


def test_moving_again_has_nothing_to_do(machine: Machine) -> None:
    machine.move("org/one")
    report = machine.move("org/one")
    assert not report.models and "links already" in report.left[0].reason


@pytest.mark.slow
def test_all_of_a_cache(machine: Machine) -> None:
    report = machine.move(source=machine.hub)
    assert [one.name for one in report.models] == ["org/one", "org/two"]
    assert not machine.losses() and given(machine.slow) == ONE
    runs = {one.run for one in report.models}
    assert len(runs) == 2
    for run in runs:
        machine.engine.undo(run)
    assert not tree.differences(machine.before, str(machine.hub))


@pytest.mark.slow
def test_all_of_a_cache_that_nobody_added(machine: Machine, tmp_path: Path) -> None:
    project = tmp_path / "project" / "hub"
    blob = tree.cache(str(project), "org/other", {"m.bin": tree.model("third")})["m.bin"]
    report = machine.move(source=project)
    assert [one.name for one in report.models] == ["org/other"] and os.path.islink(blob)
    machine.engine.undo()
    assert not os.path.islink(blob)


def test_a_model_that_a_program_has_open_stays(machine: Machine) -> None:
    with machine.blob().open("rb"):
        if not is_open(str(machine.blob())):
            pytest.skip("no leases here")
        report = machine.move("org/one")
    assert not report.models and report.left[0].reason == OPEN
    assert not machine.slow.exists() and machine.move("org/one").models


def test_one_that_is_opened_after_the_preview_stays_too(machine: Machine) -> None:
    plan = machine.engine.plan_move(["org/one"], machine.slow)
    with machine.blob().open("rb"):
        if not is_open(str(machine.blob())):
            pytest.skip("no leases here")
        report = machine.engine.apply_move(plan)
    assert not report.models and report.left[0].reason == OPEN and not machine.blob().is_symlink()


def test_what_is_not_what_its_name_says_is_not_moved(machine: Machine) -> None:
    blob = machine.blob()
    data = bytearray(ONE["model.safetensors"])
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    report = machine.move("org/one")
    assert not report.models and "it is damaged" in report.failed[0].error
    assert blob.read_bytes() == data and not (machine.slow / "models--org--one" / "snapshots").exists()


def test_content_that_other_links_need_is_no_reason_to_copy(machine: Machine, tmp_path: Path) -> None:
    """A further name of the file elsewhere keeps its blocks: nothing would be freed, and it is told."""
    os.link(machine.blob(), tmp_path / "other.safetensors")
    report = machine.move("org/one")
    assert not report.models and "frees nothing" in report.left[0].reason
    assert not machine.slow.exists()


def test_a_broken_model_stays(machine: Machine) -> None:
    machine.blob().unlink()
    report = machine.move("org/one")
    assert not report.models and "cannot be read" in report.left[0].reason


def test_where_there_is_no_room_nothing_is_begun(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubfold.engine.moving.free_bytes", lambda folder: 1000)
    with pytest.raises(NoSpace, match=r"has 1\.0K free, and this takes 1\.1M"):
        machine.move("org/one")
    assert not machine.slow.exists() and not machine.losses()


def test_names_that_mean_nothing(machine: Machine) -> None:
    with pytest.raises(UnknownModel, match="org/on"):
        machine.engine.plan_move(["org/on"], machine.slow)
    with pytest.raises(UsageError, match="no MODEL"):
        machine.engine.plan_move([], machine.slow)
    with pytest.raises(HubfoldError, match="already, and nowhere else"):
        machine.engine.plan_move(["org/one"], machine.hub)
    tree.cache(str(machine.slow.parent / "third"), "org/one", ONE)
    machine.engine.add_root(machine.slow.parent / "third")
    with pytest.raises(UsageError, match="org/one lies in"):
        machine.engine.plan_move(["org/one"], machine.slow)
    assert machine.engine.plan_move(["org/one"], machine.slow, source=machine.hub).models
