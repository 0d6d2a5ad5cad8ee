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
    moving.hubfold("roots", "add", str(moving.hf / "hub"))
    moving("scan")
    moving.hf.rename(moving.home / "away")
    moving.environ["HF_HOME"] = str(moving.new)
    tree.cache(str(moving.new / "hub"), "org/two", {"x.safetensors": MODEL})
    moving("scan", code=None)
    assert str(moving.hf / "hub") in {root["path"] for root in moving("roots")["roots"]}


# -- vaults -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folded(moving: Moving) -> Moving:
    moving.hubfold("roots", "add", str(moving.copy.parent.parent))
    moving.run = moving("consolidate", "-y", "--link", "symlink")["run"]  # type: ignore[attr-defined]
    assert moving.copy.is_symlink()
    return moving


def found(moving: Moving, *argv: str, code: int = 3) -> dict[str, str]:
    report = moving("doctor", *argv, code=code)
    (finding,) = [one for one in report["findings"] if one["kind"] == "moved-vault"]
    assert not any(one["path"] == str(moving.copy) for one in report["findings"])
    return finding  # type: ignore[no-any-return]


def test_doctor_says_where_a_vault_moved_and_points_our_links_there(folded: Moving) -> None:
    text = os.readlink(folded.copy)
    folded.move()
    assert not folded.copy.exists()
    told = found(folded)
    assert told["path"] == str(folded.new / "hubfold")
    assert f"moved from {folded.hf / 'hubfold'} to {folded.new / 'hubfold'}; 1 link" in told["message"]
    assert os.readlink(folded.copy) == text, "nothing was changed"
    problems = {one["path"]: one["message"] for one in folded("verify", code=3)["problems"]}
    assert f"its vault moved to {folded.new / 'hubfold'}" in problems[str(folded.copy)]
    assert found(folded, "--fix", "-y", code=0)["fixed"]
    assert folded.copy.read_bytes() == MODEL and os.path.samefile(folded.copy, folded.moved_blob)
    assert folded("doctor")["findings"] == [] and folded("gc", "-y")["removed"] == []
    assert [name for name in os.listdir(folded.copy.parent) if name != folded.copy.name] == []


def test_the_run_is_taken_back_after_its_links_got_new_texts(folded: Moving) -> None:
    folded.move()
    folded("doctor", "--fix", "-y")
    done = folded("undo", folded.run, "-y")  # type: ignore[attr-defined]
    assert [one["path"] for one in done["restored"]] == [str(folded.copy)]
    assert not folded.copy.is_symlink() and folded.copy.read_bytes() == MODEL
    assert folded.moved_blob.stat().st_mode & 0o777 == 0o644
    removed = folded("gc", "-y")["removed"]
    assert [one["path"].startswith(str(folded.new)) for one in removed] == [True]


def test_new_texts_are_taken_back(folded: Moving) -> None:
    text = os.readlink(folded.copy)
    folded.move()
    folded("doctor", "--fix", "-y")
    done = folded("undo", "-y")
    assert done["run"] != folded.run and os.readlink(folded.copy) == text  # type: ignore[attr-defined]
    folded.new.rename(folded.hf)
    folded.environ["HF_HOME"] = str(folded.hf)
    assert folded.copy.read_bytes() == MODEL
    assert folded("undo", "-y")["run"] == folded.run  # type: ignore[attr-defined]
    assert not folded.copy.is_symlink()


def test_undo_reads_what_a_link_led_to_where_the_vault_is_now(folded: Moving) -> None:
    """The cache lost the model before: the vault has the only bytes."""
    folded.blob.unlink()
    folded.move()
    folded("scan")
    folded("undo", "-y")
    assert not folded.copy.is_symlink() and folded.copy.read_bytes() == MODEL


def test_a_vault_that_moved_twice_and_back(folded: Moving) -> None:
    third = folded.home / "third/hf"
    third.parent.mkdir()
    folded.move()
    folded("doctor", "--fix", "-y")
    for before, after in ((folded.new, third), (third, folded.hf)):
        before.rename(after)
        folded.environ["HF_HOME"] = str(after)
        assert not folded.copy.exists()
        assert found(folded, "--fix", "-y", code=0)["fixed"]
        assert folded.copy.read_bytes() == MODEL
    assert folded("undo", folded.run, "-y")["restored"] != []  # type: ignore[attr-defined]
    assert not folded.copy.is_symlink()


def test_a_vault_of_the_version_before_is_known_by_its_lists(folded: Moving) -> None:
    marker = folded.hf / "hubfold/.hubfold-vault"
    marker.write_text(marker.read_text().partition("\nid ")[0])
    (journal,) = folded.home.glob("state/runs/*.jsonl")
    lines = [line for line in journal.read_text().splitlines(True) if '"record": "place"' not in line]
    journal.write_text("".join(lines))
    folded.move()
    found(folded, "--fix", "-y", code=0)
    assert folded.copy.read_bytes() == MODEL


def test_another_vault_with_the_same_content_is_not_where_ours_moved(folded: Moving) -> None:
    """It is no more than a copy of the bytes: its list does not know the link, and its id is another one."""
    folded.hf.rename(folded.home / "away")
    folded.environ["HF_HOME"] = str(folded.new)
    tree.cache(str(folded.new / "hub"), "org/two", {"x.safetensors": MODEL})
    other = Path(tree.write(str(folded.home / "other/o.safetensors"), MODEL))
    folded("consolidate", str(folded.new / "hub"), str(other.parent), "-y", "--link", "symlink", code=None)
    assert other.is_symlink()
    report = folded("doctor", code=None)
    assert not any(one["kind"] == "moved-vault" for one in report["findings"])


def test_a_file_in_place_of_the_link_stays(folded: Moving) -> None:
    folded.move()
    folded("doctor", "--fix", "-y")
    folded.copy.unlink()
    folded.copy.write_bytes(b"mine")
    done = folded("undo", "-y", code=None)
    assert "changed since" in done["left"][0]["reason"] and folded.copy.read_bytes() == b"mine"


# farms


def test_gc_keeps_what_a_farm_needs_that_was_moved_before_its_undo(tmp_path: Path) -> None:
    hubfold = Program(tmp_path / "home")
    home = tmp_path / "home"
    tree.cache(str(home / "hf/hub"), "org/one", {"m.safetensors": MODEL, "config.json": b"{}"})
    assert hubfold("farm", "farm", "org/one", "-y").code == 0
    (link,) = (home / "farm").rglob("*.safetensors")
    assert link.is_symlink() and link.read_bytes() == MODEL
    (home / "farm").rename(home / "moved")
    moved = home / "moved" / link.relative_to(home / "farm")
    assert hubfold("undo", "-y").code == 0, "it is not there: moved, or deleted by its user"
    assert hubfold("rm", "org/one", "-y").code == 0
    hubfold("gc", "-y")
    assert moved.read_bytes() == MODEL, "and its links still lead to the object"
