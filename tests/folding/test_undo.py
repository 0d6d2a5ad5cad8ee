"""Taking a run back: bytes, mode, times and names as they were, and what the user did since stays."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hubfold.errors import NoSpace
from tests.building.folding import Scene, errors, leftovers

MODEL = os.urandom(1 << 20) * 3


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_undo_gives_bytes_mode_times_and_xattrs_back(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m.safetensors", MODEL)
    copy.chmod(0o640)
    blob.chmod(0o664)
    os.setxattr(copy, "user.note", b"mine\xff")
    os.utime(copy, ns=(1_500_000_000_123456789, 1_400_000_000_987654321))
    before = os.lstat(copy)
    assert errors(scene.apply(scene.plan(copy, blob))) == [""]
    undone = scene.undo()
    assert undone.restored == [str(copy)] and not undone.failed and not undone.left
    after = os.lstat(copy)
    assert copy.read_bytes() == MODEL
    for name in ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_nlink"):
        assert getattr(after, name) == getattr(before, name), name
    assert os.getxattr(copy, "user.note") == b"mine\xff"
    assert stat.S_IMODE(blob.stat().st_mode) == 0o664
    assert leftovers(scene.base) == []
    assert scene.log().state == "undone"


def test_the_keeper_gets_the_older_mtime_where_a_client_counts_on_it_and_undo_gives_its_own_back(
    scene: Scene,
) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "a", MODEL)
    os.utime(copy, ns=(10**18, 10**18))
    blob_mtime = blob.stat().st_mtime_ns
    scene.apply(scene.plan(blob, scene.replica(copy, latest_mtime_ns=10**18 + 10**9)))
    assert copy.is_symlink() and copy.stat().st_mtime_ns == 10**18
    scene.undo()
    assert blob.stat().st_mtime_ns == blob_mtime and copy.stat().st_mtime_ns == 10**18


def test_undo_leaves_alone_what_the_user_changed(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    models = scene.root("models")
    one, two = scene.file(models, "a", MODEL), scene.file(models, "b", MODEL)
    scene.apply(scene.plan(blob, one, two))
    one.unlink()
    one.write_bytes(b"my own")
    undone = scene.undo()
    assert [left.path for left in undone.left] == [str(one)] and undone.restored == [str(two)]
    assert one.read_bytes() == b"my own" and two.read_bytes() == MODEL and not two.is_symlink()


def test_undo_refuses_content_that_was_written_through_a_link(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "a", MODEL)
    scene.apply(scene.plan(blob, copy))
    blob.chmod(0o644)
    with open(copy, "r+b") as file:
        file.write(b"oops")
    undone = scene.undo()
    assert "was changed since the run" in undone.left[0].reason and copy.is_symlink()
    assert leftovers(scene.base) == []


def test_undo_reads_the_keeper_where_the_object_is_gone(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "a", MODEL)
    scene.apply(scene.plan(blob, copy))
    copy.resolve().unlink()
    assert scene.undo().restored == [str(copy)] and copy.read_bytes() == MODEL


def test_undo_refuses_before_the_first_change_when_the_copies_do_not_fit(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "a", MODEL)
    scene.apply(scene.plan(blob, copy))
    real = os.statvfs(scene.base)
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((*real[:3], 1, 1, *real[5:])))
    with pytest.raises(NoSpace):
        scene.undo()
    assert copy.is_symlink()


def test_sparse_files_count_by_blocks_and_come_back_sparse(scene: Scene) -> None:
    blob = scene.cache / "blob"
    models = scene.root("models")
    copy = models / "sparse"
    for path in (blob, copy):
        with open(path, "wb") as file:
            file.write(b"head")
            file.truncate(32 << 20)
    plan = scene.plan(blob, copy)
    assert plan.bytes < 1 << 20
    scene.apply(plan)
    scene.undo()
    assert copy.stat().st_size == 32 << 20 and copy.stat().st_blocks * 512 < 1 << 20
