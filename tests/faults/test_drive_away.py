"""A crash, and then the drive is away: nothing else waits for it, and a user can give it up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.building import tree

from .filesystems import Mounts, unmount
from .striking import Fault, hubfold

pytestmark = pytest.mark.slow


class Place:
    """A consolidate of copies on a drive that was killed in the middle; then the drive is taken away."""

    def __init__(self, mounts: Mounts, base: Path) -> None:
        self.mounts = mounts
        self.path = str(base / "place")
        self.mounted = mounts.image("ext4")
        self.drive = self.mounted.path
        self.made = tree.one_cache(self.path, self.drive)
        self.env = tree.environment(self.path)
        self.else_ = tree.write(os.path.join(self.path, "else/copy.safetensors"), tree.model("weights"))
        self.before = tree.census(self.drive)
        struck = hubfold(self.env, "consolidate", *self.made.roots, "-y", fault=Fault(2, what="os.remove"))
        assert struck.killed
        unmount(self.drive)

    def connect(self) -> None:
        self.mounts.mount(self.mounted)

    def run(self, *argv: str) -> tuple[int, str, str]:
        ran = hubfold(self.env, *argv).ran
        return ran.returncode, ran.stdout, ran.stderr

    def consolidate_something_else(self) -> tuple[int, str, str]:
        found = self.run("consolidate", self.made.roots[0], os.path.dirname(self.else_), "-y")
        assert os.path.islink(self.else_), found
        return found


@pytest.fixture
def place(mounts: Mounts, tmp_path: Path) -> Place:
    return Place(mounts, tmp_path)


def test_other_work_goes_on_while_the_drive_is_away(place: Place) -> None:
    code, _, told = place.consolidate_something_else()
    assert code == 0 and "cannot be looked at now" in told and "hubfold recover --forget" in told
    assert place.run("recover")[0] == 3
    place.connect()
    assert place.run("recover")[0] == 0
    assert place.run("recover")[1] == "nothing to recover\n"
    assert tree.losses(place.before, place.drive) == []
    while place.run("undo", "-y")[0] == 0:
        pass
    assert tree.differences(place.before, place.drive) == []


def test_what_is_gone_for_good_can_be_given_up(place: Place) -> None:
    code, _, told = place.run("recover", "--forget")
    assert code == 3 and "given up" in told
    assert place.run("recover")[:2] == (0, "nothing to recover\n")
    code, _, told = place.consolidate_something_else()
    assert code == 0 and place.drive not in told
    # It was not gone after all: every path reads its bytes, and what it reads is kept.
    place.connect()
    assert place.run("gc", "-y")[0] == 0
    assert tree.losses(place.before, place.drive) == []


def folded(mounts: Mounts, base: Path) -> tuple[Place, str, dict[str, tree.Seen]]:
    """A cache on a drive that is its own root, and a copy elsewhere that was folded into it."""
    place = Place.__new__(Place)
    place.mounts, place.path = mounts, str(base / "place")
    place.mounted = mounts.image("ext4")
    place.drive = place.mounted.path
    place.env = tree.environment(place.path)
    copy = tree.write(os.path.join(place.path, "models/m.safetensors"), tree.model("weights"))
    tree.write(os.path.join(place.drive, "kept.safetensors"), tree.model("weights"))
    before = tree.census(os.path.dirname(copy))
    code, _, told = place.run("roots", "add", place.drive, "--role", "primary")
    assert code == 0, told
    code, _, told = place.run("consolidate", place.drive, os.path.dirname(copy), "--link", "symlink", "-y")
    assert code == 0 and os.path.islink(copy), told
    return place, copy, before


def test_undo_waits_for_the_drive_of_the_content(mounts: Mounts, tmp_path: Path) -> None:
    """The root is the mount point, which is there, and empty: that says nothing; nor does another drive there."""
    place, copy, before = folded(mounts, tmp_path)
    unmount(place.drive)
    assert place.run("undo", "-y")[0] == 3 and os.path.islink(copy)
    mounts.tmpfs("16m", at=place.drive)
    assert place.run("undo", "-y")[0] == 3 and os.path.islink(copy)
    for command in (("clean", "-y", "--older-than", "0"), ("doctor", "--fix", "-y"), ("gc", "-y")):
        place.run(*command)
        assert os.path.islink(copy) and os.listdir(place.drive) == [], command
    unmount(place.drive)
    place.connect()
    assert place.run("undo", "-y")[0] == 0
    assert tree.differences(before, os.path.dirname(copy)) == []


def test_undo_waits_for_the_drive_of_the_path(mounts: Mounts, tmp_path: Path) -> None:
    place, copy, _ = folded(mounts, tmp_path)
    assert place.run("undo", "-y")[0] == place.run("gc", "-y")[0] == 0
    assert place.run("roots", "add", place.drive, "--role", "secondary")[0] == 0
    hub = os.path.join(place.path, "hub")
    tree.cache(hub, "org/one", {"m.safetensors": tree.model("weights")})
    os.unlink(copy)
    code, out, told = place.run("consolidate", hub, place.drive, "--link", "symlink", "-y")
    kept = os.path.join(place.drive, "kept.safetensors")
    assert code == 0 and os.path.islink(kept), (out, told)
    unmount(place.drive)
    assert place.run("undo", "-y")[0] == 3
    mounts.tmpfs("16m", at=place.drive)
    assert place.run("undo", "-y")[0] == 3
    unmount(place.drive)
    place.connect()
    assert os.path.islink(kept)
    assert place.run("undo", "-y")[0] == 0 and not os.path.islink(kept)
    assert Path(kept).read_bytes() == tree.model("weights")
