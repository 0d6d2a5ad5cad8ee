"""Which links in a hub cache belong to its layout, and which blob a snapshot's link is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.content import Root
from hubfold.scanning.reached import links, reached_from
from hubfold.scanning.walk import Shared, TreeWalk
from hubfold_plugins.huggingface.hub_cache import HubCacheBackend
from hubfold_plugins.huggingface.hub_linked import linked_parts, own_blob, shares_its_blobs
from tests.building import tree
from tests.scanning.test_reached import GuardedBackend

FILES = {"model.safetensors": b"weights"}
ONE = "models--org--one"


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    tree.cache(str(tmp_path / "hub"), "org/one", FILES)
    return tmp_path / "hub"


def moved(path: Path, to: Path) -> str:
    path.rename(to)
    path.symlink_to(to)
    return str(path)


def walk_of(hub: Path) -> TreeWalk:
    root, backends = Root(str(hub), "hub-cache"), {"hub-cache": GuardedBackend(HubCacheBackend())}
    return TreeWalk(root, backends, Shared(linked=links(reached_from([root], backends))))


def test_a_repository_and_its_parts_are_links_of_the_layout(hub: Path, tmp_path: Path) -> None:
    repository = hub / ONE
    assert list(linked_parts(str(repository))) == []
    parts = [moved(repository / part, tmp_path / part) for part in ("blobs", "snapshots")]
    assert list(linked_parts(str(repository))) == parts
    moved(repository / "refs", tmp_path / "refs")
    assert list(linked_parts(str(repository))) == parts, "nothing is ever done there"
    whole = moved(repository, tmp_path / "elsewhere")
    assert list(linked_parts(str(repository))) == [whole, *parts]


def test_what_is_no_repository_by_its_names_is_none(hub: Path, tmp_path: Path) -> None:
    repository = hub / "models--org--other"
    for names in (("photo.jpg",), (), ("models--a--b", "blobs"), ("hub",)):
        folder = tmp_path / f"folder-{len(names)}-{'-'.join(names)}"
        for name in names:
            (folder / name).mkdir(parents=True)
        folder.mkdir(exist_ok=True)
        repository.symlink_to(folder)
        assert list(linked_parts(str(repository))) == [], names
        repository.unlink()
    for part in ("blobs", "snapshots"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "photo.jpg").touch()
        repository.mkdir(exist_ok=True)
        (repository / part).symlink_to(tmp_path / part)
    assert list(linked_parts(str(repository))) == []


@pytest.mark.parametrize("parts", [(), ("blobs",), ("snapshots",), ("blobs", "snapshots")])
def test_a_blob_is_known_by_where_the_system_takes_the_link(
    hub: Path, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    repository = hub / ONE
    (blob,) = (repository / "blobs").iterdir()
    for part in parts:
        moved(repository / part, tmp_path / f"some-{part}")
    (link,) = (repository / "snapshots").glob("*/*")
    walk = walk_of(hub)
    for text in (
        os.readlink(link),
        str(blob),
        os.path.realpath(blob),
        f"{hub}/../hub/{ONE}/blobs/{blob.name}",
    ):
        link.unlink()
        link.symlink_to(text)
        expected = str(blob) if link.exists() else None
        assert own_blob(str(repository), str(link), text, walk) == expected, text
    for text in ("../../blobs/..", "..", "/", "", "/etc/passwd", f"../../../{ONE}/refs/main"):
        assert own_blob(str(repository), str(link), text, walk) is None


def test_blobs_in_one_folder(hub: Path, tmp_path: Path) -> None:
    moved(hub / ONE / "blobs", tmp_path / "blobs")
    assert not shares_its_blobs(str(hub / ONE), walk_of(hub))
    (hub / "models--org--two").mkdir()
    (hub / "models--org--two/blobs").symlink_to(tmp_path / "blobs")
    assert shares_its_blobs(str(hub / ONE), walk_of(hub))
