"""The store of git-lfs keeps the contract: a clone, with a submodule, a store alone, and a work tree without one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hubfold.testing import BackendContract, Built
from hubfold_plugins.git_lfs.store import GitLfsBackend
from tests.building.clones import clone, pointer, stored
from tests.building.tree import write

FILES = {
    "model.safetensors": b"weights" * 1000,
    "sub/other.bin": b"others" * 1000,
    "config.json": b'{"model_type": "bert"}' * 100,
}


def objects(*names: str, of: str = ".git/lfs/") -> set[str]:
    oids = [hashlib.sha256(FILES[name]).hexdigest() for name in names]
    return {f"{of}objects/{oid[:2]}/{oid[2:4]}/{oid}" for oid in oids}


class TestClone(BackendContract):
    backend = GitLfsBackend

    def build(self, folder: Path) -> Built:
        root = clone(folder / "clone", FILES)
        write(str(root / "untracked.gguf"), b"mine" * 1000)
        write(str(root / "later.safetensors"), pointer(b"not fetched"))
        write(str(root / ".git/lfs/incomplete" / f"{'a' * 64}.part"), b"half")
        write(str(root / ".git/lfs/tmp/12345"), b"half")
        write(str(root / ".git/lfs/objects/logs"), b"no object")
        write(str(root / ".git/lfs/objects/aa/bb" / ("a" * 64)), b"in a folder of others")
        write(str(root / ".git/objects/pack/pack-1.pack"), b"PACK")
        return Built(root, {*FILES, "untracked.gguf", *objects("model.safetensors", "sub/other.bin")})


class TestCloneWithASubmodule(BackendContract):
    backend = GitLfsBackend

    def build(self, folder: Path) -> Built:
        root = clone(folder / "clone", {"config.json": FILES["config.json"]})
        clone(
            root / "vendor/model",
            {"model.safetensors": FILES["model.safetensors"]},
            git=root / ".git/modules/vendor/model",
        )
        clone(root / "nested", {"sub/other.bin": FILES["sub/other.bin"]})
        return Built(
            root,
            {
                *("config.json", "vendor/model/model.safetensors", "nested/sub/other.bin"),
                *objects("model.safetensors", of=".git/modules/vendor/model/lfs/"),
                *objects("sub/other.bin", of="nested/.git/lfs/"),
            },
        )


class TestStoreAlone(BackendContract):
    backend = GitLfsBackend

    def build(self, folder: Path) -> Built:
        for name in ("model.safetensors", "sub/other.bin"):
            stored(folder / "store", FILES[name])
        write(str(folder / "store/incomplete" / f"{'a' * 64}.part"), b"half")
        return Built(folder / "store", objects("model.safetensors", "sub/other.bin", of=""))


class TestLinkedWorkTree(BackendContract):
    backend = GitLfsBackend

    def build(self, folder: Path) -> Built:
        main = clone(folder / "clone", FILES)
        git = main / ".git/worktrees/other"
        root = clone(folder / "other", FILES, git=git)
        write(str(git / "commondir"), b"../..\n")
        return Built(root, set(FILES))
