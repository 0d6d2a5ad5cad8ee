"""The harness is seen red: each part is run on a script that is right and on one that loses bytes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.building import tree

from .filesystems import MIB, REFLINKS, Mounts, as_nobody, flip_byte, frozen, mount_points
from .power_cut import LOST_FSYNC, DiskStage, cut_without_fsync, power_cuts
from .strace_sweep import (
    Command,
    CopyStage,
    Outcome,
    Stage,
    Window,
    complaints,
    errors,
    kills,
    record,
    sweep,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strace")]

#: Replaces `victim` by a hard link of `keeper`, in the right order, and takes its own temporary away before.
RIGHT = """
import os, sys
place = sys.argv[1]
keeper, victim, temporary = (os.path.join(place, name) for name in ("keeper", "victim", ".hubfold-tmp"))
if os.path.lexists(temporary):
    os.unlink(temporary)
with open(keeper, "rb") as file:
    os.fsync(file.fileno())
os.link(keeper, temporary)
os.rename(temporary, victim)
if os.path.lexists(temporary):
    os.unlink(temporary)
folder = os.open(place, os.O_RDONLY)
os.fsync(folder)
"""
#: The same with a moment at which the victim's name is missing.
GAP = RIGHT.replace("os.link(keeper, temporary)\n", "os.unlink(victim)\nos.link(keeper, temporary)\n")
#: The same, but a temporary of an earlier crash stays.
LITTER = RIGHT.replace('".hubfold-tmp"', 'f".hubfold-{os.getpid()}"')
#: The same, but an error is taken for success.
DEAF = RIGHT.replace(
    "os.link(keeper, temporary)",
    "os.unlink(victim)\ntry: os.link(keeper, temporary)\nexcept OSError: sys.exit()",
)


def script(tmp_path: Path, text: str) -> Callable[[Stage], Command]:
    path = tmp_path / "script.py"
    path.write_text(text)
    return lambda stage: Command((sys.executable, "-I", str(path), stage.place))


def pair(place: str) -> None:
    for name in ("victim", "keeper"):
        tree.write(os.path.join(place, name), tree.model("weights"))


def copies(tmp_path: Path) -> list[CopyStage]:
    stages = []
    for name in ("one", "two"):
        stage = CopyStage(str(tmp_path / name))
        pair(stage.place)
        stage.save()
        stages.append(stage)
    return stages


def checker(
    stages: Iterable[Stage], command: Callable[[Stage], Command]
) -> Callable[[Stage, Outcome], list[str]]:
    """Nothing lost at once, nothing lost and nothing left behind after the same command ran again."""
    before = {stage.place: tree.census(stage.place) for stage in stages}

    def check(stage: Stage, outcome: Outcome) -> list[str]:
        found = tree.losses(before[stage.place], stage.place)
        if outcome.returncode:
            os.spawnv(os.P_WAIT, sys.executable, command(stage).argv)
        found += tree.losses(before[stage.place], stage.place)
        return found + tree.leftovers(before[stage.place], stage.place)

    return check


@pytest.mark.parametrize(
    ("text", "symptom"),
    [(RIGHT, None), (GAP, "victim cannot be read"), (LITTER, "was left behind")],
    ids=["right", "gap", "litter"],
)
def test_kill_sweep_sees_what_a_crash_leaves(tmp_path: Path, text: str, symptom: str | None) -> None:
    stages, command = copies(tmp_path), script(tmp_path, text)
    points = record(stages[0], command(stages[0]))
    assert {"fsync", "link", "rename"} <= {point.name.removesuffix("at") for point in points}
    verdicts = sweep(stages, command, kills(points), checker(stages, command))
    assert all(verdict.hit for verdict in verdicts)
    if symptom is None:
        assert complaints(verdicts) == []
    else:
        assert symptom in "\n".join(complaints(verdicts))


@pytest.mark.parametrize(("text", "red"), [(RIGHT, False), (DEAF, True)], ids=["right", "deaf"])
def test_error_sweep_sees_what_an_ignored_error_leaves(tmp_path: Path, text: str, red: bool) -> None:
    stages, command = copies(tmp_path), script(tmp_path, text)
    points = record(stages[0], command(stages[0]))
    verdicts = sweep(stages, command, errors(points, every=True), checker(stages, command))
    assert len(verdicts) > 2 * len(points)
    assert all(verdict.hit for verdict in verdicts)
    assert bool(complaints(verdicts)) is red


def test_a_sweep_that_strikes_nothing_is_a_failure(tmp_path: Path) -> None:
    stages, command = copies(tmp_path), script(tmp_path, RIGHT)
    points = record(stages[0], command(stages[0]))
    idle = script(tmp_path / "..", "pass")
    verdicts = sweep(stages, idle, kills(points), lambda stage, outcome: ())
    assert "NOT STRUCK" in "\n".join(complaints(verdicts))
    assert complaints([]) != []


def test_a_window_holds_the_command_before_its_call(tmp_path: Path) -> None:
    stages, command = copies(tmp_path), script(tmp_path, RIGHT)
    window = Window(command(stages[0]), str(tmp_path / "log"), "rename", 1)
    window.opened()
    victim, temporary = (os.path.join(stages[0].place, name) for name in ("victim", ".hubfold-tmp"))
    assert os.path.exists(temporary)
    assert not os.path.samefile(victim, temporary)
    assert window.ended().returncode == 0
    assert os.path.samefile(victim, os.path.join(stages[0].place, "keeper"))


def disks(mounts: Mounts, kind: str) -> list[DiskStage]:
    """Two places whose victim is safe on disk and whose keeper was written a moment ago."""

    def download(place: str) -> None:
        incomplete = tree.write(os.path.join(place, "keeper.incomplete"), tree.model("weights"))
        os.rename(incomplete, os.path.join(place, "keeper"))

    stages = []
    for _ in range(2):
        stage = DiskStage(mounts, [mounts.image(kind)], download)
        tree.write(os.path.join(stage.place, "victim"), tree.model("weights"))
        stage.save()
        stages.append(stage)
    return stages


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_power_cut_sweep_loses_bytes_only_without_fsync(tmp_path: Path, mounts: Mounts, kind: str) -> None:
    text = RIGHT + "os.mkdir(os.path.join(place, 'end'))\n"
    if kind == "ext4":
        # A rename over a file makes ext4 write the new one's data out: a hard link is safe there, a symlink is not.
        text = text.replace("os.link(", "os.symlink(")
    stages, command = disks(mounts, kind), script(tmp_path, text)
    points = record(stages[0], command(stages[0]))
    before = {stage.place: tree.census(stage.place, ()) for stage in stages}
    for stage in stages:
        stage.fresh()
        before[stage.place] = tree.census(stage.place)

    def check(stage: Stage, outcome: Outcome) -> list[str]:
        return tree.losses(before[stage.place], stage.place, but=[os.path.join(stage.place, "keeper")])

    verdicts = power_cuts(stages, command, points, check)
    assert complaints(verdicts) == []
    last = points[-1]
    assert last.name == "mkdir"
    outcome = cut_without_fsync(stages[0], command(stages[0]), last, LOST_FSYNC)
    assert outcome.hit is not None
    # Without the folder's fsync the rename itself may be lost too, and then the victim is whole: leave out the
    # keeper's alone.
    keeper_only = next(f"fsync:retval=0:when={point.number}" for point in points if "/keeper>" in point.text)
    outcome = cut_without_fsync(stages[0], command(stages[0]), last, [keeper_only])
    assert outcome.hit is not None
    assert check(stages[0], outcome) != []


def test_image_stage_brings_inodes_and_times_back(mounts: Mounts) -> None:
    stage = DiskStage(mounts, [mounts.image("ext4")])
    path = tree.write(os.path.join(stage.place, "file"), b"as it was")
    stage.save()
    was = os.stat(path)
    Path(path).write_bytes(b"changed")
    stage.fresh()
    assert Path(path).read_bytes() == b"as it was"
    now = os.stat(path)
    assert (now.st_ino, now.st_ctime_ns, now.st_mtime_ns) == (was.st_ino, was.st_ctime_ns, was.st_mtime_ns)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "xfs-noreflink", "btrfs"])
def test_images_share_extents_where_they_should(mounts: Mounts, kind: str) -> None:
    import fcntl

    place = mounts.image(kind).path
    source = tree.write(os.path.join(place, "source"), tree.model("weights"))
    with open(source, "rb") as file, open(os.path.join(place, "target"), "wb") as target:
        if kind in REFLINKS:
            fcntl.ioctl(target, 0x40049409, file.fileno())
        else:
            with pytest.raises(OSError, match=r"not supported|Inappropriate"):
                fcntl.ioctl(target, 0x40049409, file.fileno())


def test_a_small_tmpfs_fills_up_in_bytes_and_in_inodes(mounts: Mounts) -> None:
    with pytest.raises(OSError, match="No space"):
        tree.write(os.path.join(mounts.tmpfs("2m").path, "file"), bytes(3 * MIB))
    few = mounts.tmpfs("2m", inodes=4).path
    with pytest.raises(OSError, match="No space"):
        for i in range(5):
            tree.write(os.path.join(few, str(i)), b"")


def test_vfat_has_no_links(mounts: Mounts) -> None:
    place = mounts.vfat().path
    path = tree.write(os.path.join(place, "file"), b"x")
    with pytest.raises(OSError, match=r"."):
        os.link(path, path + ".link")
    with pytest.raises(OSError, match=r"."):
        os.symlink(path, path + ".link")


def test_bind_overlay_and_read_only(mounts: Mounts) -> None:
    disk = mounts.image("ext4")
    path = tree.write(os.path.join(disk.path, "file"), b"x")
    bound = mounts.bind(disk.path)
    assert os.path.samefile(path, os.path.join(bound.path, "file"))
    with pytest.raises(OSError, match="cross-device"):
        os.link(path, os.path.join(bound.path, "link"))
    layered = mounts.overlay(disk.path)
    Path(layered.path, "file").write_bytes(b"y")
    assert Path(path).read_bytes() == b"x"
    mounts.read_only(bound)
    with pytest.raises(OSError, match="Read-only"):
        Path(bound.path, "new").touch()
    mounts.read_only(bound, on=False)
    Path(bound.path, "new").touch()


def test_a_drive_that_is_pulled_out_answers_errors(mounts: Mounts) -> None:
    disk = mounts.image("xfs")
    path = tree.write(os.path.join(disk.path, "file"), b"x")
    mounts.shutdown(disk)
    with pytest.raises(OSError, match="Input/output"):
        Path(path).write_bytes(b"y")


@pytest.mark.parametrize("kind", ["ext4", "btrfs"])
def test_a_flipped_byte_is_rot_on_ext4_and_an_error_on_btrfs(mounts: Mounts, kind: str) -> None:
    disk = mounts.image(kind)
    data = tree.model("weights")
    path = tree.write(os.path.join(disk.path, "file"), data)
    was = os.stat(path)
    stage = DiskStage(mounts, [disk])
    stage.save()
    assert disk.image is not None
    flip_byte(disk.image + ".saved", data[8192:8224])
    stage.fresh()
    assert (os.stat(path).st_size, os.stat(path).st_mtime_ns) == (was.st_size, was.st_mtime_ns)
    if kind == "btrfs":
        with pytest.raises(OSError, match="Input/output"):
            Path(path).read_bytes()
    else:
        assert [i for i, (a, b) in enumerate(zip(data, Path(path).read_bytes(), strict=True)) if a != b] != []


def test_frozen_and_nobody(mounts: Mounts, tmp_path: Path) -> None:
    path = tree.write(str(tmp_path / "file"), b"x", mode=0o600)
    with frozen(path), pytest.raises(PermissionError):
        os.unlink(path)
    assert os.spawnvp(os.P_WAIT, "setpriv", as_nobody(["test", "-r", path])) == 1


def test_mounts_go_away_even_while_in_use(tmp_path: Path) -> None:
    made = Mounts(tmp_path / "mounts")
    disk = made.image("ext4")
    with open(os.path.join(disk.path, "held"), "wb"):
        made.close()
        assert mount_points(str(tmp_path)) == []
