"""Where the vault of a root may lie: what its backend says, held against the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from hubfold.backend.contract import Capabilities, StorageBackend
from hubfold.content import VAULT, Root
from hubfold.disk.filesystem import FileSystems
from hubfold.vault.backend import VaultBackend
from hubfold.vault.places import vault_places


class Cache(StorageBackend):
    name = "cache"
    capabilities = Capabilities(cache=True)
    folders: tuple[str, ...] = ()

    def vault_places(self, root: Root) -> Sequence[str]:
        return [os.path.normpath(os.path.join(root.path, folder)) for folder in self.folders]


def found(root: Path, *folders: str, backend: str = "cache") -> list[tuple[str, bool, bool]]:
    """(path from the root, writable, told that it lies inside)."""
    cache = Cache()
    cache.folders = folders
    places = vault_places(Root(str(root), backend), {"cache": cache, VAULT: VaultBackend()}, FileSystems())
    return [(os.path.relpath(one.path, root), one.writable, bool(one.note)) for one in places]


def test_places_are_in_the_order_of_the_backend_and_need_not_be_there(tmp_path: Path) -> None:
    root = tmp_path / "hf/hub"
    root.mkdir(parents=True)
    assert found(root, "../hubfold", ".hubfold") == [("../hubfold", True, False), (".hubfold", True, True)]
    assert not (root / ".hubfold").exists()


def test_the_file_system_is_that_of_the_nearest_folder(tmp_path: Path, other_drive: Path) -> None:
    cache = Cache()
    cache.folders = ("not/yet/made", str(other_drive / "vault"))
    inside, across = vault_places(Root(str(tmp_path), "cache"), {"cache": cache}, FileSystems())
    assert inside.filesystem.device == tmp_path.stat().st_dev
    assert across.filesystem.device == other_drive.stat().st_dev


def test_a_folder_that_is_not_ours_to_write_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def access(path: str, mode: int) -> bool:
        asked.append(path)
        return False

    monkeypatch.setattr(os, "access", access)
    assert found(tmp_path, ".hubfold/deep") == [(".hubfold/deep", False, False)]
    assert asked == [str(tmp_path)], "the nearest folder that is there"


def test_a_vault_has_no_vault_and_a_root_without_its_backend_has_none(tmp_path: Path) -> None:
    assert found(tmp_path, ".hubfold", backend=VAULT) == []
    assert found(tmp_path, ".hubfold", backend="not loaded") == []


def test_a_place_that_cannot_be_looked_at_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(self: FileSystems, directory: str) -> object:
        raise OSError(5, "error")

    monkeypatch.setattr(FileSystems, "of", of)
    assert found(tmp_path, ".hubfold") == []
