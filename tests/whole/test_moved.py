"""Caches, drives and vaults that moved: they are known where they are now, and the old place is in nobody's way."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from tests.building import tree
from tests.building.program import Program

MODEL = random.Random("moved").randbytes((1 << 20) + 4096)


class Moving:
    """A cache in `user/hf` and a copy in `models`, nothing folded yet."""

    def __init__(self, base: Path) -> None:
        self.home = base / "home"
        self.hubfold = Program(self.home)
        self.hf, self.new = self.home / "user/hf", self.home / "disk/hf"
        self.copy = Path(tree.write(str(self.home / "models/deep/w.safetensors"), MODEL))
        (blob,) = tree.cache(str(self.hf / "hub"), "org/one", {"model.safetensors": MODEL}).values()
        self.blob = Path(blob)
        self.environ = {"HF_HOME": str(self.hf)}

    def __call__(self, *argv: str, code: int | None = 0) -> dict:  # type: ignore[type-arg]
        done = self.hubfold(*argv, "--json", environ=self.environ)
        assert code is None or done.code == code, (argv, done)
        return done.json  # type: ignore[no-any-return]

    def move(self) -> None:
        """`mv` of the cache with its vault, and the new place in the environment."""
        self.new.parent.mkdir()
        self.hf.rename(self.new)
        self.environ["HF_HOME"] = str(self.new)

    @property
    def moved_blob(self) -> Path:
        return self.new / self.blob.relative_to(self.hf)


@pytest.fixture
def moving(tmp_path: Path) -> Moving:
    return Moving(tmp_path)


@pytest.mark.parametrize("registered", [False, True])
def test_a_cache_that_moved_after_a_scan_is_folded_where_it_is(moving: Moving, registered: bool) -> None:
    moving.hubfold("roots", "add", str(moving.copy.parent.parent))
    if registered:
        moving.hubfold("roots", "add", str(moving.hf / "hub"), "--role", "primary")
    moving("scan")
    moving.move()
    promised = moving("scan")
    told = [
        warning["message"] for warning in promised["warnings"] if warning["path"] == str(moving.hf / "hub")
    ]
    assert told == [f"it was moved to {moving.new / 'hub'}, and is known there now"]
    roots = {root["path"]: root for root in moving("roots")["roots"]}
    assert str(moving.hf / "hub") not in roots and roots[str(moving.new / "hub")]["role"] == "primary"
    done = moving("consolidate", "-y", "--link", "symlink")
    assert done["reclaimed_bytes"] == promised["reclaimable_bytes"] > 0 and done["failed"] == []
    assert os.path.samefile(moving.copy, moving.moved_blob) and moving.copy.read_bytes() == MODEL
    if registered:
        (state,) = moving.home.glob("state/roots.json")
        assert str(moving.new / "hub") in {root["path"] for root in json.loads(state.read_text())["roots"]}


def test_what_is_away_is_left_out_and_said_and_not_promised(moving: Moving) -> None:
    """A third copy in a root that is away: not by a move, it is nowhere."""
    third = Path(tree.write(str(moving.home / "third/t.safetensors"), MODEL))
    for root in (moving.copy.parent.parent, third.parent):
        moving.hubfold("roots", "add", str(root))
    all_ = moving("scan")["reclaimable_bytes"]
    third.parent.rename(moving.home / "away")
    promised = moving("scan", code=None)["reclaimable_bytes"]
    assert 0 < promised < all_
    done = moving("consolidate", "-y", "--link", "symlink", code=None)
    assert done["reclaimed_bytes"] == promised and done["failed"] == []
    assert [one["path"] for one in done["skipped"]] == [str(third.parent)]
    assert "left out" in done["skipped"][0]["reason"]
    (moving.home / "away").rename(third.parent)
    assert moving("consolidate", "-y", "--link", "symlink")["reclaimed_bytes"] == all_ - promised
    assert os.path.samefile(third, moving.copy)


def test_a_root_at_the_old_place_that_is_another_folder_is_no_move(moving: Moving) -> None:
    """The old cache is away, another one is used since: nothing follows, and what was known is kept."""
    moving("scan")
    moving.hf.rename(moving.home / "away")
    moving.environ["HF_HOME"] = str(moving.new)
    tree.cache(str(moving.new / "hub"), "org/two", {"x.safetensors": MODEL})
    moving("scan", code=None)
    assert str(moving.hf / "hub") in {root["path"] for root in moving("roots")["roots"]}
