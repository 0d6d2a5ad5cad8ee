"""What hubfold sees of a folder of links."""

from __future__ import annotations

import os

from hubfold.content import FARM_MARKER
from hubfold.testing.trees import Tree, hub_cache, link_to, model_files
from hubfold_plugins.huggingface.hub_cache import HubCacheBackend
from hubfold_plugins.huggingface.local_dir import LocalDirBackend
from hubfold_plugins.symlink_farm import SymlinkFarmBackend
from tests.building.one_root import scan


def recognised(tree: Tree, name: str) -> str | None:
    answer = SymlinkFarmBackend.recognise(str(tree[name]), os.listdir(tree[name]))
    return None if answer is None else os.path.relpath(answer, tree.folder)


def test_a_farm_costs_nothing_and_its_dangling_links_are_told(tree: Tree) -> None:
    commit = tree.hub.add("org/base", model_files("base", 9_000))
    into = f"../../../hub/models--org--base/snapshots/{commit}"
    tree.build(
        {
            "hub": hub_cache("org/base"),
            f"farm/{FARM_MARKER}": b"",
            "farm/org/base/model.safetensors": link_to(f"{into}/model.safetensors"),
            "farm/org/base/gone.bin": link_to(f"{into}/gone.bin"),
            "farm/org/base/notes.txt": b"mine",
        }
    )
    scanned = scan(SymlinkFarmBackend, tree["farm"])
    assert set(scanned) == {"org/base/notes.txt"}, "a link costs nothing, a file is content like anywhere"
    assert set(scanned.warnings) == {"org/base/gone.bin"}
    assert recognised(tree, "farm") == "farm"


def test_a_folder_of_links_into_a_cache_is_a_farm_without_a_marker(tree: Tree) -> None:
    commit = tree.hub.add("org/base", model_files("base", 9_000))
    into = f"hub/models--org--base/snapshots/{commit}"
    tree.build(
        {
            "hub": hub_cache("org/base"),
            "flat/model.safetensors": link_to(f"../{into}/model.safetensors"),
            "nested/org/base/model.safetensors": link_to(str(tree[into] / "model.safetensors")),
        }
    )
    assert recognised(tree, "flat") == "flat"
    assert recognised(tree, "nested") == "nested"


def test_other_folders_with_links_are_no_farm(tree: Tree) -> None:
    commit = tree.hub.add("org/base", model_files("base", 9_000))
    tree.build(
        {
            "hub": hub_cache("org/base"),
            "folded/model.safetensors": link_to(f"../hubfold/objects/ab/{'ab' * 32}"),
            "mixed/model.safetensors": link_to(
                f"../hub/models--org--base/snapshots/{commit}/model.safetensors"
            ),
            "mixed/config.json": b"{}",
            "others/model.safetensors": link_to("../somewhere"),
            "empty/.keep": b"",
        }
    )
    tree["empty/sub"].mkdir()
    for name in ("folded", "mixed", "others", "empty", "hub", f"hub/models--org--base/snapshots/{commit}"):
        assert recognised(tree, name) is None, name


def test_a_farm_below_a_scanned_folder_is_left_to_this_backend(tree: Tree) -> None:
    tree.build(
        {f"models/farm/{FARM_MARKER}": b"", "models/farm/a/b/c": link_to("/nowhere"), "models/a.gguf": b"x"}
    )
    scanned = scan(LocalDirBackend, tree["models"], others=(HubCacheBackend, SymlinkFarmBackend))
    assert set(scanned) == {"a.gguf"}
    assert scanned.found == [("symlink-farm", str(tree["models/farm"]))]
