"""Folders that layouts reach by links: which count, what their roots are, and paths from one side to the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.contract import StorageBackend
from hubfold.content import VAULT_MARKER, Root
from hubfold.scanning.reached import Reached, lock_paths, reached_from, real, shown, with_reached


class Linking(StorageBackend):
    """Takes each link right in its root for its own."""

    name = "linking"

    def reached(self, root: Root) -> Iterator[str]:
        yield from (os.path.join(root.path, name) for name in sorted(os.listdir(root.path)))
        yield "/etc"

    def lock_paths(self, root: Root, path: str) -> Sequence[str]:
        return (f"{root.path}/locks/{os.path.relpath(path, root.path)}",)


BACKENDS = {"linking": GuardedBackend(Linking())}


@pytest.fixture
def root(tmp_path: Path) -> Root:
    (tmp_path / "root").mkdir()
    (tmp_path / "large").mkdir()
    return Root(str(tmp_path / "root"), "linking")


def link(root: Root, name: str, to: Path) -> str:
    to.mkdir(parents=True, exist_ok=True)
    path = Path(root.path, name)
    path.symlink_to(to)
    return str(path)


def test_only_links_to_folders_that_are_neither_above_nor_a_vault_count(root: Root, tmp_path: Path) -> None:
    good = link(root, "good", tmp_path / "large/one")
    link(root, "above", tmp_path)
    link(root, "itself", Path(root.path))
    link(root, "vault", tmp_path / "vault/objects")
    (tmp_path / "vault" / VAULT_MARKER).touch()
    Path(root.path, "file").touch()
    Path(root.path, "to-file").symlink_to("file")
    Path(root.path, "nowhere").symlink_to("gone")
    Path(root.path, "folder").mkdir()
    assert reached_from([root], BACKENDS) == [Reached(good, str(tmp_path / "large/one"), root)]
    assert reached_from([Root(root.path, "not loaded")], BACKENDS) == []


def test_each_folder_is_one_root_however_many_links_lead_to_it(root: Root, tmp_path: Path) -> None:
    one = link(root, "one", tmp_path / "large/one")
    link(root, "second", tmp_path / "large/one")
    link(root, "known", tmp_path / "known/deep")
    link(root, "inside", Path(root.path, "folder"))
    known = Root(str(tmp_path / "known"), "linking")
    found = with_reached([root, known], reached_from([root, known], BACKENDS))
    assert found == [root, known, Root(str(tmp_path / "large/one"), "linking", link=one)]
    assert with_reached(found, reached_from(found, BACKENDS)) == found


def test_a_root_that_was_added_by_itself_is_the_one_behind_the_link(root: Root, tmp_path: Path) -> None:
    one = link(root, "one", tmp_path / "large/one")
    added = Root(str(tmp_path / "large/one"), "other")
    assert with_reached([added, root], reached_from([root], BACKENDS)) == [
        Root(added.path, "linking", link=one),
        root,
    ]


def test_paths_from_one_side_to_the_other(root: Root, tmp_path: Path) -> None:
    outer = link(root, "outer", tmp_path / "large/outer")
    reached = [
        *reached_from([root], BACKENDS),
        Reached(f"{outer}/inner", str(tmp_path / "far"), root),
    ]
    for through, there in {
        f"{outer}/a/b": f"{tmp_path}/large/outer/a/b",
        outer: f"{tmp_path}/large/outer",
        f"{outer}/inner/x": f"{tmp_path}/far/x",
        f"{root.path}/else": f"{root.path}/else",
    }.items():
        assert real(through, reached) == there
        assert shown(there, root.path, reached) == through
    assert shown(f"{tmp_path}/far/x", "/another", reached) == f"{tmp_path}/far/x"
    assert real(f"{outer}side/a", reached) == f"{outer}side/a"


def test_the_lock_is_that_of_the_path_through_the_link(root: Root, tmp_path: Path) -> None:
    link(root, "one", tmp_path / "large/one")
    (reached,) = reached_from([root], BACKENDS)
    path = f"{tmp_path}/large/one/file"
    behind = Root(reached.folder, "linking", link=reached.link)
    assert lock_paths(behind, path, [reached], BACKENDS) == [f"{root.path}/locks/one/file"]
    around = Root(str(tmp_path / "large"), "linking")
    assert lock_paths(around, path, [reached], BACKENDS) == [
        f"{tmp_path}/large/locks/one/file",
        f"{root.path}/locks/one/file",
    ]
