"""What stores of plain files have in common: names of parts and of repos from anywhere, and emptied folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.content import Root
from hubfold.scanning.walk import TreeWalk
from hubfold_plugins import flat


@pytest.mark.parametrize("name", ["", ".", "..", "/x", "a/../b", "a/./b", "a//b", "a/", "x\0y", "../x"])
def test_a_name_that_leads_out_or_nowhere_has_no_place(name: str) -> None:
    assert flat.place_of(name) is None


@pytest.mark.parametrize("name", ["x", "a/b.gguf", "...", "a/..b/c", "\n"])
def test_any_other_has_its_own(name: str) -> None:
    place = flat.place_of(name)
    assert place is not None and (place.stage, place.unit) == (0, "")


def test_a_name_of_the_hub_is_known_from_others() -> None:
    for name in ("org/name", "a_b/c.d-e", "0/1"):
        assert flat.hub_name(name) == name
    for name in ("name", "a/b/c", "../x", "a/..", "a b/c", "ö/x", "", "-a/b", "a/b\n"):
        assert not flat.hub_name(name)


def test_a_model_takes_the_folders_with_it_that_are_empty_then(tmp_path: Path) -> None:
    for name in ("a/b/one.gguf", "a/b/notes", "a/c/other.gguf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    top = str(tmp_path)
    one = os.path.join(top, "a/b/one.gguf")
    notes = (os.path.join(top, "a/b/notes"), os.path.join(top, "a/b/no-such-note"))
    model = flat.FlatModel(os.path.dirname(one), {"one.gguf": one}, "a/b", records=notes)
    walk = TreeWalk(Root(top, "x"), {})
    removal = model.removal(top, "x", walk)
    assert removal.files == (notes[0], one)
    assert removal.empty == (os.path.join(top, "a/b"),), "not a, which has another model, and never the root"
    assert [part.name for part in model.parts(top)][:2] == ["a/b/one.gguf", "a/b/notes"]
