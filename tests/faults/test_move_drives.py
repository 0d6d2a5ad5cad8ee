"""A model moves to a real drive that is full, pulled out in the middle, or mounted elsewhere afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.content import LinkKind, Role
from hubfold.errors import HubfoldError, NoSpace
from hubfold.progress import Silent
from hubfold.reports.moves import MoveReport
from tests.building import tree

from .filesystems import MIB, Mounted, Mounts, unmount
from .lifecycle import FILES, ONE

pytestmark = pytest.mark.slow


class Once(Silent):
    """Does something when the first bytes were copied."""

    def __init__(self, what: Callable[[], object]) -> None:
        self._what: Callable[[], object] | None = what
        self._copying = False

    def start(self, task: str, total: int | None, unit: str) -> None:
        self._copying = task.startswith("copying")

    def advance(self, amount: int) -> None:
        if self._copying and self._what is not None:
            what, self._what = self._what, None
            what()


class Drives:
    """A cache on one drive, and `slow` on another."""

    def __init__(self, mounts: Mounts, base: Path, size: int = 0) -> None:
        self.mounts, self.base = mounts, base
        self.fast = mounts.image("ext4")
        self.slow: Mounted = mounts.image("ext4", size)
        self.hub = os.path.join(self.fast.path, "hub")
        self.target = os.path.join(self.slow.path, "hub")
        self.blobs = tree.cache(self.hub, "org/one", FILES, ONE)
        self.before = tree.census(self.fast.path)

    def engine(self, progress: Silent | None = None) -> Engine:
        environ = {**tree.environment(str(self.base)), "HF_HUB_CACHE": self.hub}
        return Engine(self.base / "state", environ=environ, progress=progress)

    def move(self, progress: Silent | None = None) -> MoveReport:
        with self.engine(progress) as engine:
            engine.recover()
            return engine.apply_move(engine.plan_move(["org/one"], self.target))

    def losses(self) -> list[str]:
        return tree.losses(self.before, self.fast.path)

    def links(self) -> list[str]:
        return [blob for blob in self.blobs.values() if os.path.islink(blob)]


def fill(folder: str) -> str:
    path = os.path.join(folder, "filler")
    with open(path, "wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(1 << 16))
    return path


def test_a_drive_that_is_full_is_told_before_anything_is_begun(mounts: Mounts, tmp_path: Path) -> None:
    drives = Drives(mounts, tmp_path)
    filler = fill(drives.slow.path)
    with pytest.raises(NoSpace, match="free, and this takes"):
        drives.move()
    assert not drives.losses() and not drives.links() and not os.path.exists(drives.target)
    os.unlink(filler)
    assert drives.move().models and len(drives.links()) == len(FILES) and not drives.losses()


def test_a_drive_that_gets_full_in_the_middle(mounts: Mounts, tmp_path: Path) -> None:
    drives = Drives(mounts, tmp_path)
    found: list[str] = []
    with pytest.raises(OSError, match="No space"):
        drives.move(Once(lambda: found.append(fill(drives.slow.path))))
    assert found and not drives.losses() and not drives.links()
    os.unlink(found[0])
    assert drives.move().models and len(drives.links()) == len(FILES) and not drives.losses()


def test_a_drive_that_is_pulled_out_in_the_middle(mounts: Mounts, tmp_path: Path) -> None:
    """What is on the fast drive stays as it was; once the slow one is back, the same move goes on."""
    drives = Drives(mounts, tmp_path)
    with suppress(OSError, HubfoldError):
        report = drives.move(Once(lambda: mounts.shutdown(drives.slow)))
        assert not report.models and report.failed
    assert not drives.losses() and not drives.links()
    unmount(drives.slow.path)
    assert not drives.losses()
    with drives.engine() as engine, pytest.raises(HubfoldError):
        engine.move_of("org/one")
    mounts.mount(drives.slow)
    assert drives.move().models and len(drives.links()) == len(FILES) and not drives.losses()


def test_while_the_drive_is_away_recall_waits_and_nothing_is_dropped(mounts: Mounts, tmp_path: Path) -> None:
    drives = Drives(mounts, tmp_path)
    drives.move()
    unmount(drives.slow.path)
    links = {path: os.readlink(path) for path in drives.links()}
    with drives.engine() as engine:
        report = engine.undo(engine.move_of("org/one"))
        assert report.waiting and not report.restored
        engine.gc()
        engine.apply_removal(engine.plan_clean(older_than=0), "clean")
        engine.doctor(fix=True)
    assert links == {path: os.readlink(path) for path in drives.links()} and links
    mounts.mount(drives.slow)
    assert not drives.losses()
    with drives.engine() as engine:
        report = engine.undo(engine.move_of("org/one"))
    assert not report.left and not tree.differences(drives.before, drives.fast.path)
    assert not os.path.exists(os.path.join(drives.target, "models--org--one"))


def test_a_drive_that_is_mounted_elsewhere_is_found_there(mounts: Mounts, tmp_path: Path) -> None:
    """`doctor --fix` leads the links there, and recall takes the files from there."""
    drives = Drives(mounts, tmp_path)
    drives.move()
    unmount(drives.slow.path)
    assert drives.slow.image is not None
    elsewhere = mounts.attach(drives.slow.image, "ext4").path
    with drives.engine() as engine:
        engine.add_root(os.path.join(elsewhere, "hub"))
        engine.scan()
        engine.doctor(fix=True)
    assert not drives.losses()
    with drives.engine() as engine:
        while True:
            try:
                engine.undo()
            except HubfoldError:
                break
    assert not drives.links() and not drives.losses()


def test_balance_waits_for_a_drive_that_is_away(mounts: Mounts, tmp_path: Path) -> None:
    """An empty mount point is no place with room."""
    drives = Drives(mounts, tmp_path)
    with drives.engine() as engine:
        os.makedirs(drives.target)
        tree.cache(drives.target, "org/there", {"x.bin": b"x"}, ONE)
        engine.add_root(drives.hub, role=Role.PRIMARY, limit=MIB)
        engine.add_root(drives.target)
        engine.scan()
    unmount(drives.slow.path)
    with drives.engine() as engine:
        report = engine.apply_balance(engine.plan_balance())
        assert not report.models and report.left and report.places[0].over > 0
    assert os.listdir(drives.slow.path) == [] and not drives.losses()
    mounts.mount(drives.slow)
    with drives.engine() as engine:
        report = engine.apply_balance(engine.plan_balance())
    assert [one.name for one in report.models] == ["org/one"] and report.places[0].over == 0
    assert not drives.losses()


def test_balance_with_a_drive_that_leaves_once_it_is_planned(mounts: Mounts, tmp_path: Path) -> None:
    """That model stays, and is told; what goes elsewhere goes."""
    drives = Drives(mounts, tmp_path)
    with drives.engine() as engine:
        os.makedirs(drives.target)
        tree.cache(drives.target, "org/there", {"x.bin": b"x"}, ONE)
        engine.add_root(drives.hub, role=Role.PRIMARY, limit=MIB)
        engine.add_root(drives.target)
        engine.scan()
        planned = engine.plan_balance()
        assert planned.going
        unmount(drives.slow.path)
        report = engine.apply_balance(planned)
    assert not report.models and any("is away" in one.reason for one in report.left)
    assert os.listdir(drives.slow.path) == [] and not drives.losses()


def test_balance_with_a_drive_that_is_pulled_out_in_the_middle(mounts: Mounts, tmp_path: Path) -> None:
    drives = Drives(mounts, tmp_path)
    with drives.engine() as engine:
        os.makedirs(drives.target)
        tree.cache(drives.target, "org/there", {"x.bin": b"x"}, ONE)
        engine.add_root(drives.hub, role=Role.PRIMARY, limit=MIB)
        engine.add_root(drives.target)
    with drives.engine(Once(lambda: mounts.shutdown(drives.slow))) as engine, suppress(OSError, HubfoldError):
        assert not engine.apply_balance(engine.plan_balance()).models
    assert not drives.losses() and not drives.links()
    unmount(drives.slow.path)
    mounts.mount(drives.slow)
    with drives.engine() as engine:
        engine.recover()
        assert engine.apply_balance(engine.plan_balance()).models
    assert not drives.losses() and len(drives.links()) == len(FILES)


class OneDrive:
    """Two caches on one xfs, which shares extents, and a local copy that reads the first through its vault."""

    def __init__(self, mounts: Mounts, base: Path) -> None:
        self.base, self.drive = base, mounts.image("xfs")
        self.hub = os.path.join(self.drive.path, "hf/hub")
        self.target = os.path.join(self.drive.path, "new/hub")
        self.blobs = tree.cache(self.hub, "org/one", FILES, ONE)

    def engine(self) -> Engine:
        environ = {**tree.environment(str(self.base)), "HF_HUB_CACHE": self.hub}
        return Engine(self.base / "state", environ=environ)


def test_on_a_drive_that_shares_extents_nothing_would_be_freed(mounts: Mounts, tmp_path: Path) -> None:
    drive = OneDrive(mounts, tmp_path)
    copy = tree.local_dir(os.path.join(drive.drive.path, "models/one"), FILES)
    with drive.engine() as engine:
        engine.add_root(os.path.join(drive.drive.path, "models/one"))
        engine.scan()
        engine.apply(engine.plan(link=LinkKind.SYMLINK))
        assert all(os.path.islink(path) for path in copy.values())
        report = engine.apply_move(engine.plan_move(["org/one"], drive.target))
    assert not report.models and "shares extents" in report.left[0].reason
    assert f"hubfold download org/one --into {drive.target}" in report.left[0].reason
    assert not os.path.exists(drive.target)


def test_a_link_on_a_drive_that_leaves_in_the_middle_keeps_the_file_that_it_reads(
    mounts: Mounts, tmp_path: Path
) -> None:
    """Its new text cannot be given: the object stays, and so does the blob; when it is back, the same move goes on."""
    drives = Drives(mounts, tmp_path)
    third = mounts.image("ext4")
    copy = tree.local_dir(os.path.join(third.path, "one"), FILES)
    with drives.engine() as engine:
        engine.add_root(os.path.join(third.path, "one"))
        engine.scan()
        engine.apply(engine.plan())
    assert all(os.path.islink(path) for path in copy.values())
    report = drives.move(Once(lambda: unmount(third.path)))
    assert not report.models and (report.failed or report.left) and not drives.links() and not drives.losses()
    mounts.mount(third)
    for name, path in copy.items():
        assert tree.digest(path) == tree.digest(drives.blobs[name])
    report = drives.move()
    assert report.models and len(drives.links()) == len(FILES) and not drives.losses()
    for path in copy.values():
        assert os.path.realpath(path).startswith(drives.slow.path)
