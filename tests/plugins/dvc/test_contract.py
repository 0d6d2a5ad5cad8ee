"""The store of DVC keeps the contract: a repository with copies, one with links, a remote."""

from __future__ import annotations

from pathlib import Path

from hubfold.testing import BackendContract, Built
from hubfold_plugins.dvc.store import DvcBackend
from tests.building.data_versions import md5, repository, stored
from tests.building.tree import write

WEIGHTS = b"weights" * 1000
ROWS = {"a.parquet": b"rows" * 1000, "sub/b.parquet": b"more" * 1000}
FOLDERS = {"data": ROWS}


def objects(*contents: bytes, of: str = ".dvc/cache/") -> set[str]:
    return {f"{of}files/md5/{name[:2]}/{name[2:]}" for name in map(md5, contents)}


class TestRepository(BackendContract):
    backend = DvcBackend

    def build(self, folder: Path) -> Built:
        root = repository(folder / "repo", {"model.safetensors": WEIGHTS}, FOLDERS)
        write(str(root / "untracked.gguf"), b"mine")
        write(str(root / ".dvc/cache/files/md5/aa/.u7YkQ0b1Jj-4_Xo2aYkT1A.tmp"), b"half")
        write(str(root / ".dvc/cache/0a" / ("b" * 30)), b"of an earlier release", mode=0o444)
        write(str(root / ".dvc/cache/runs/ab/note"), b"{}")
        legacy = f".dvc/cache/0a/{'b' * 30}"
        return Built(root, {"untracked.gguf", legacy, *objects(WEIGHTS, *ROWS.values())})


class TestRepositoryOfLinks(BackendContract):
    backend = DvcBackend

    def build(self, folder: Path) -> Built:
        root = repository(folder / "repo", {"model.safetensors": WEIGHTS}, FOLDERS, linked=True)
        tracked = {"model.safetensors", *(f"data/{name}" for name in ROWS)}
        return Built(root, {*tracked, *objects(WEIGHTS, *ROWS.values())})


class TestRemote(BackendContract):
    backend = DvcBackend

    def build(self, folder: Path) -> Built:
        for data in (WEIGHTS, *ROWS.values()):
            stored(folder / "remote", data)
        stored(folder / "remote", b"[]", ".dir")
        return Built(folder / "remote", objects(WEIGHTS, *ROWS.values(), of=""))
