"""Models that are single files on shelves, and folders of repositories among them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.content import Root
from hubfold.scanning.walk import TreeWalk
from hubfold_plugins import shelves


def told(top: Path, *names: str) -> dict[str, tuple[list[str], list[str]]]:
    """By model: its files, and the notes that go with it."""
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"x")
    walk = TreeWalk(Root(str(top), "x"), {})
    found = shelves.models(
        str(top), walk, lambda: walk.folders(str(top)), lambda path: os.path.relpath(path, top)
    )
    return {
        one.repo_id: (sorted(one.files), sorted(os.path.basename(path) for path in one.records))
        for one in found
    }


def test_a_file_is_a_model_with_what_lies_beside_it_under_its_name(tmp_path: Path) -> None:
    names = (
        "loras/a.safetensors",
        "loras/a.civitai.info",
        "loras/a.preview.png",
        "loras/ab.png",
        "loras/notes.txt",
    )
    assert told(tmp_path, *names) == {
        "loras/a.safetensors": (["a.safetensors"], ["a.civitai.info", "a.preview.png"])
    }


def test_what_two_files_of_weights_may_share_goes_with_neither(tmp_path: Path) -> None:
    assert told(tmp_path, "vae/a.pt", "vae/a.safetensors", "vae/a.png") == {
        "vae/a.pt": (["a.pt"], []),
        "vae/a.safetensors": (["a.safetensors"], []),
    }


def test_a_folder_with_a_config_is_one_model_with_all_below_it(tmp_path: Path) -> None:
    names = (
        "d/x/model_index.json",
        "d/x/unet/config.json",
        "d/x/unet/m.safetensors",
        "d/y.pt",
        "d/z/config.json",
    )
    assert told(tmp_path, *names) == {
        "d/x": (["model_index.json", "unet/config.json", "unet/m.safetensors"], []),
        "d/y.pt": (["y.pt"], []),
    }
    (tmp_path / "config.json").write_bytes(b"{}")
    assert set(told(tmp_path)) == {"d/x", "d/y.pt"}, "the top is no model"


def test_a_download_that_is_not_at_its_end_is_none(tmp_path: Path) -> None:
    names = ("v/a.pt.part", "v/b.pt", "v/b.pt.aria2", "v/c.pt.aria2")
    assert told(tmp_path, *names) == {}
    walk = TreeWalk(Root(str(tmp_path), "x"), {})
    partial = [os.path.basename(path) for path in shelves.partials(walk.folders(str(tmp_path)))]
    assert sorted(partial) == ["a.pt.part", "b.pt", "b.pt.aria2"]


@pytest.mark.parametrize("text", ["loras/SDXL/a b.safetensors", "vae/ä.pt", "Lora/x y/z.ckpt"])
def test_names_that_no_repo_can_have_are_known(text: str) -> None:
    assert shelves.model_named(text) == ("model", text, None)


@pytest.mark.parametrize(
    "text", ["org/name", "a.safetensors", "/x/y.pt", "../x/y.pt", "a/b\n.pt", "~/x y.pt", "./x y.pt", ""]
)
def test_other_texts_are_not_its_business(text: str) -> None:
    assert shelves.model_named(text) is None
