"""Every built-in backend keeps the contract, on trees that the real client wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hubfold.content import FARM_MARKER
from hubfold.testing import (
    BackendContract,
    Built,
    Tree,
    copy_of,
    hub_cache,
    link_to,
    local_dir,
    model_files,
)
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import has_shared_store, with_xet_hash
from hubfold_plugins.huggingface.hub_cache import HubCacheBackend
from hubfold_plugins.huggingface.local_dir import LocalDirBackend
from hubfold_plugins.symlink_farm import SymlinkFarmBackend

if TYPE_CHECKING:
    from pathlib import Path

    from hubfold.backend.contract import StorageBackend


class TestHubCache(BackendContract):
    backend = HubCacheBackend

    def build(self, folder: Path) -> Built:
        with LoopbackHub() as hub:
            hub.add("org/base", model_files("base", 40_000))
            hub.add("org/data", {"a.parquet": b"rows" * 1000}, repo_type="dataset")
            tree = Tree(folder, hub).build({"hub": hub_cache("org/base", "datasets/org/data")})
            files = {
                f"models--org--base/blobs/{file.etag}": file for file in hub.files("org/base").values()
            } | {
                f"datasets--org--data/blobs/{f.etag}": f
                for f in hub.files("org/data", repo_type="dataset").values()
            }
        tree.build(
            {
                "hub/models--org--base/blobs/" + "0" * 64 + ".incomplete": b"half",
                "hub/models--org--base/.no_exist/x/adapter.json": b"",
                "hub/version.txt": b"1",
            }
        )
        return Built(tree["hub"], set(files))


@pytest.mark.skipif(not has_shared_store(), reason="this huggingface_hub keeps no shared store")
class TestHubCacheWithSharedStore(BackendContract):
    backend = HubCacheBackend

    def build(self, folder: Path) -> Built:
        weights = with_xet_hash(b"weights" * 10_000)
        with LoopbackHub() as hub:
            hub.add("org/base", {"model.safetensors": weights, "config.json": b"{}"})
            hub.add("org/same", {"weights.safetensors": weights})
            tree = Tree(folder, hub).build({"hub": hub_cache("org/base", "org/same", shared=True)})
            config = hub.files("org/base")["config.json"].etag
        xet = weights.xet_hash or ""
        return Built(tree["hub"], {f"blobs/{xet[:2]}/{xet}", f"models--org--base/blobs/{config}"})


class TestLocalDir(BackendContract):
    backend: type[StorageBackend] = LocalDirBackend

    def build(self, folder: Path) -> Built:
        with LoopbackHub() as hub:
            hub.add("org/base", model_files("base", 40_000))
            tree = Tree(folder, hub).build({"base": local_dir("org/base")})
        tree.build(
            {
                "base/mine.txt": b"by hand",
                "base/.cache/huggingface/download/half.incomplete": b"half",
                "base/late.safetensors.incomplete": b"half",
            }
        )
        return Built(tree["base"], {*model_files("base", 40_000), "mine.txt"})


class TestPlainFolder(BackendContract):
    backend = LocalDirBackend

    def build(self, folder: Path) -> Built:
        with LoopbackHub() as hub:
            tree = Tree(folder, hub).build(
                {
                    "plain/a/weights.gguf": b"weights",
                    "plain/b.gguf": copy_of("plain/a/weights.gguf"),
                    "plain/link.gguf": link_to("b.gguf"),
                    "plain/dangling": link_to("nowhere"),
                    "plain/loop": link_to("."),
                }
            )
        return Built(tree["plain"], {"a/weights.gguf", "b.gguf"}, recognised=False)


class TestSymlinkFarm(BackendContract):
    backend = SymlinkFarmBackend

    def build(self, folder: Path) -> Built:
        with LoopbackHub() as hub:
            tree = Tree(folder, hub).build(
                {
                    f"farm/{FARM_MARKER}": b"",
                    "weights": b"weights",
                    "farm/org/base/model.safetensors": link_to("../../../weights"),
                    "farm/org/base/gone.safetensors": link_to("../../../gone"),
                    "farm/org/base/notes.txt": b"by hand",
                }
            )
        return Built(tree["farm"], {"org/base/notes.txt"})
