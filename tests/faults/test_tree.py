"""The judges of a tree see what they are there to see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.building import tree

from .filesystems import Mounts


@pytest.mark.parametrize("build", [tree.one_cache, tree.two_caches])
def test_an_untouched_tree_has_nothing_wrong(tmp_path: Path, build: object) -> None:
    assert callable(build)
    build(str(tmp_path))
    before = tree.census(str(tmp_path))
    assert len(before) > 8
    assert tree.losses(before, str(tmp_path)) == []
    assert tree.leftovers(before, str(tmp_path)) == []
    assert tree.differences(before, str(tmp_path)) == []


def test_the_state_directory_is_no_part_of_the_tree(tmp_path: Path) -> None:
    tree.write(str(tmp_path / tree.STATE / "index.db"), b"")
    assert tree.census(str(tmp_path)) == {}


def test_one_changed_byte_is_a_loss_through_every_link_to_it(tmp_path: Path) -> None:
    built = tree.one_cache(str(tmp_path))
    before = tree.census(str(tmp_path))
    blob = Path(built.keepers[0])
    blob.write_bytes(tree.fine_tune(blob.read_bytes()))
    found = tree.losses(before, str(tmp_path))
    assert len(found) == 2
    assert all("reads other bytes" in text for text in found)
    assert any("snapshots" in text for text in found)
    assert tree.losses(before, str(tmp_path), but=[path for path in before if "hub" in path]) == []


def test_a_missing_file_a_loop_and_a_dangling_link_are_losses(tmp_path: Path) -> None:
    for name in ("gone", "loop", "dangling"):
        tree.write(str(tmp_path / name), b"x")
    before = tree.census(str(tmp_path))
    for name in before:
        os.unlink(name)
    os.symlink("loop", tmp_path / "loop")
    os.symlink("nowhere", tmp_path / "dangling")
    assert len(tree.losses(before, str(tmp_path))) == 3


def test_a_temporary_is_left_behind_but_an_object_is_not_until_the_end(tmp_path: Path) -> None:
    tree.one_cache(str(tmp_path))
    before = tree.census(str(tmp_path))
    tree.write(str(tmp_path / "hf/hubfold/objects/aa/aabb"), b"x")
    assert tree.leftovers(before, str(tmp_path)) == []
    assert tree.leftovers(before, str(tmp_path), vaults=False) == [
        "hf/hubfold/objects/aa/aabb was left behind"
    ]
    tree.write(str(tmp_path / "models/.hubfold-run-1"), b"x")
    tree.write(str(tmp_path / "hf/hubfold/objects/aa/.hubfold-2"), b"x")
    assert len(tree.leftovers(before, str(tmp_path))) == 2


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mode", lambda path: os.chmod(path, 0o600)),
        ("mtime_ns", lambda path: os.utime(path, ns=(0, tree.OLD_NS + 1))),
        ("link", lambda path: (os.rename(path, path + ".x"), os.symlink(path + ".x", path))),
        ("xattrs", lambda path: os.setxattr(path, "user.x", b"y")),
    ],
)
def test_what_undo_has_to_bring_back_is_looked_at(tmp_path: Path, name: str, change: object) -> None:
    path = tree.write(str(tmp_path / "file"), b"x")
    before = tree.census(str(tmp_path))
    assert callable(change)
    change(path)
    assert any(f": {name} " in text for text in tree.differences(before, str(tmp_path)))
    assert tree.losses(before, str(tmp_path)) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_the_awkward_victim_is_as_awkward_as_the_file_system_allows(mounts: Mounts, kind: str) -> None:
    disk = mounts.image(kind)
    drive = mounts.image("ext4", at=os.path.join(disk.path, "drive"))
    built = tree.one_cache(disk.path, drive.path)
    seen = tree.census(disk.path)[os.path.join(drive.path, "models/one/model.safetensors")]
    assert seen.mode == 0o640
    assert {name for name, _ in seen.xattrs} == {"user.note", "system.posix_acl_access"}
    assert seen.mtime_ns < tree.OLD_NS
    assert os.stat(built.keepers[0]).st_dev != os.stat(drive.path).st_dev
    assert (
        tree.census(disk.path)[os.path.join(drive.path, "plain/fine-tune.safetensors")].digest != seen.digest
    )
