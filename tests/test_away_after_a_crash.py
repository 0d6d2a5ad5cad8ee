"""A crash, and then the drive is away: nothing else waits for it, and a user can give it up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from faults import tree
from faults.striking import Fault, hubfold

from hubfold import emptying, mending
from hubfold.journal import Journal, read
from hubfold.records import Mend


class Place:
    """A consolidate that was killed at its first swap; the copies' folder is where a drive would be mounted."""

    def __init__(self, base: Path) -> None:
        self.path = str(base / "place")
        self.made = tree.one_cache(self.path, str(base / "drive"))
        self.drive = base / "drive"
        self.env = tree.environment(self.path)
        # Made before the crash: the inode of a displaced file may be given to a new one.
        self.else_ = tree.write(os.path.join(self.path, "else/copy.safetensors"), tree.model("weights"))
        self.before = tree.census(str(self.drive))
        struck = hubfold(self.env, "consolidate", *self.made.roots, "-y", fault=Fault(2, what="os.remove"))
        assert struck.killed

    def run(self, *argv: str) -> tuple[int, str, str]:
        ran = hubfold(self.env, *argv).ran
        return ran.returncode, ran.stdout, ran.stderr

    def consolidate_something_else(self) -> tuple[int, str, str]:
        found = self.run("consolidate", self.made.roots[0], os.path.dirname(self.else_), "-y")
        assert os.path.islink(self.else_), found
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_other_work_goes_on_while_the_drive_is_away(place: Place) -> None:
    place.drive.rename(place.drive.with_name("away"))
    code, _, told = place.consolidate_something_else()
    assert code == 0 and "cannot be looked at now" in told and "hubfold recover --forget" in told
    assert place.run("recover")[0] == 3
    place.drive.with_name("away").rename(place.drive)
    assert place.run("recover")[0] == 0
    assert place.run("recover")[1] == "nothing to recover\n"
    assert tree.losses(place.before, str(place.drive)) == []
    while place.run("undo", "-y")[0] == 0:
        pass
    assert tree.differences(place.before, str(place.drive)) == []


def test_what_is_gone_for_good_can_be_given_up(place: Place) -> None:
    place.drive.rename(place.drive.with_name("away"))
    code, _, told = place.run("recover", "--forget")
    assert code == 3 and "given up" in told
    assert place.run("recover")[:2] == (0, "nothing to recover\n")
    code, _, told = place.consolidate_something_else()
    assert code == 0 and "drive" not in told
    # It was not gone after all: every path reads its bytes, and what it reads is kept.
    place.drive.with_name("away").rename(place.drive)
    assert place.run("gc", "-y")[0] == 0
    assert tree.losses(place.before, str(place.drive)) == []


def test_a_removal_on_a_drive_that_is_away_waits_for_it(tmp_path: Path) -> None:
    """The folder that was renamed away would stay there for good if it were taken for gone."""
    record = {
        "path": str(tmp_path / "mnt/copy/notes"),
        "root": str(tmp_path / "mnt/copy"),
        "temporary": str(tmp_path / "mnt/copy/.hubfold-x"),
    }
    with Journal.create(str(tmp_path / "runs"), "rm", "test") as book:
        book.append("aside", **record, mount=str(tmp_path / "mnt"))
    log = read(str(tmp_path / "runs"), book.run)
    settled = emptying.settle(log)
    assert settled.waiting and "its drive is not there" in settled.left[0].reason
    settled = emptying.settle(log, forget=True)
    assert not settled.waiting and "given up" in settled.left[0].reason
    with Journal.create(str(tmp_path / "runs"), "rm", "test") as book:
        book.announce("aside", **record)
    log = read(str(tmp_path / "runs"), book.run)
    assert os.path.ismount(log.temporaries[0].mount)
    settled = emptying.settle(log)
    assert not settled.waiting and not settled.left, "its drive is there: the folder was deleted"


def test_a_repair_on_a_drive_that_is_gone_for_good_can_be_given_up(tmp_path: Path) -> None:
    away = str(tmp_path / "mnt/cache")
    mend = Mend(1, f"{away}/blob", away, ".hubfold-1", 1, "", 2, f"{away}/hubfold/replaced/blob", "")
    assert mending.settle_all([mend]).waiting
    settled = mending.settle_all([mend], forget=True)
    assert not settled.waiting and not settled.done and "given up" in settled.left[0].reason
