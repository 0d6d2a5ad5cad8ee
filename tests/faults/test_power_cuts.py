"""Power cuts on real images: what was on the disk at any moment of `consolidate` and `undo` is enough.

The keepers come fresh from a download, so they are in memory only when the command starts; a command that let a victim
go before its keeper is on the disk would lose the bytes. That is shown too, by leaving out the keeper's fsync.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from tests.building import tree

from . import lifecycle
from .commands import command
from .filesystems import Mounts
from .power_cut import DiskStage, cut_without_fsync, power_cuts
from .scenes import ALL, KINDS, Kind, Scene, consolidate, guarded, scenes, settled, thinned
from .strace_sweep import Command, Failed, Outcome, Point, Stage, complaints, record
from .striking import CHANGES, KILL, Fault, hubfold

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strace")]

DISKS = ("ext4", "xfs", "btrfs")


def on(disk: str, name: str) -> Kind:
    """A kind of folding on one disk, with the link kind asked for, since xfs and btrfs would share extents."""
    kind = KINDS[name]
    return Kind(f"{name}-{disk}", kind.link, (disk,), kind.build, ("--link", kind.link))


def downloading(scene: Scene) -> None:
    """Take the keepers away, to be written anew, and not synced, each time the scene is made fresh."""
    content = {path: Path(path).read_bytes() for path in scene.tree.keepers}
    for path in content:
        os.unlink(path)

    def download(place: str) -> None:
        for path, data in content.items():
            os.rename(tree.write(path + ".incomplete", data), path)

    scene.stage.download = download


def fresh_downloads(scene: Scene) -> list[str]:
    """The paths that read what was just downloaded: no program promises that they outlive a power cut."""
    keepers = set(scene.tree.keepers)
    return [path for path in scene.before if os.path.realpath(path) in keepers]


def cut(
    found: list[Scene],
    what: Callable[[Stage], object],
    points: list[Point],
    lost: Callable[[Scene], Iterable[str]],
) -> None:
    def check(scene: Scene, outcome: Outcome) -> Iterator[str]:
        but = list(lost(scene))
        yield from (f"before recover: {loss}" for loss in scene.losses(but))
        # A download that was not on disk yet may be half there under its first name.
        yield from (problem for problem in settled(scene, but) if ".incomplete was left" not in problem)

    verdicts = power_cuts([scene.stage for scene in found], what, points, guarded(check, found))
    assert len(verdicts) == len(points) > 6
    if found_wrong := complaints(verdicts):
        pytest.fail(f"{len(found_wrong)} of {len(points)} cuts:\n" + "\n".join(found_wrong), pytrace=False)


def chosen(points: list[Point]) -> list[Point]:
    """The points around what is done to the tree: all of them, and a few of the index's."""
    return points if ALL else thinned(points, 3)[::6]


@pytest.mark.parametrize("name", ["symlink", "hardlink"])
@pytest.mark.parametrize("disk", DISKS)
def test_consolidate_on_a_fresh_download(mounts: Mounts, disk: str, name: str) -> None:
    found = scenes(mounts, on(disk, name), downloading)
    by_place = {scene.place: scene for scene in found}
    points = record(found[0].stage, consolidate(found[0].stage, by_place))
    cut(found, lambda stage: consolidate(stage, by_place), chosen(points), fresh_downloads)


@pytest.mark.parametrize("name", ["symlink", "hardlink"])
@pytest.mark.parametrize("disk", DISKS)
def test_undo(mounts: Mounts, disk: str, name: str) -> None:
    found = scenes(mounts, on(disk, name), Scene.consolidate)
    points = record(found[0].stage, command(found[0].place, "undo", "-y"))
    cut(found, lambda stage: command(stage.place, "undo", "-y"), chosen(points), lambda scene: ())


@pytest.mark.parametrize("disk", DISKS)
def test_the_fsync_of_the_keeper_is_what_saves_the_bytes(mounts: Mounts, disk: str) -> None:
    """The negative control: the same cut is fine with that fsync and loses the victims' bytes without it."""
    (scene,) = scenes(mounts, on(disk, "symlink"), downloading, count=1)
    what = consolidate(scene.stage, {scene.place: scene})
    points = record(scene.stage, what)
    keepers = [f"fsync:retval=0:when={p.number}" for p in points if p.name == "fsync" and "/blobs/" in p.text]
    assert len(keepers) >= len(scene.tree.keepers)
    unlinks = [i for i, point in enumerate(points) if point.name == "unlinkat"]
    last = next(point for point in points[unlinks[-1] :] if point.name == "write" and "/runs/" in point.text)
    but = fresh_downloads(scene)
    for lost, expected in ((), False), (keepers[:1], True):
        outcome = cut_without_fsync(scene.stage, what, last, lost)
        assert outcome.hit is not None
        assert bool(scene.losses(but)) is expected, scene.losses(but)


@pytest.mark.parametrize("name", ["symlink", "hardlink"])
def test_names_of_one_payload_in_several_folders(mounts: Mounts, name: str) -> None:
    """At each fsync and each removal of a displaced file.

    btrfs logs all names of an inode with each folder that it syncs: two names that were exchanged at once lost the one
    whose folder was not synced yet.
    """
    found = scenes(mounts, on("btrfs", name), downloading)
    by_place = {scene.place: scene for scene in found}
    points = record(found[0].stage, consolidate(found[0].stage, by_place))
    removals = [point for point in points if point.name in ("unlinkat", "fsync")]
    assert len(removals) > 10
    cut(found, lambda stage: consolidate(stage, by_place), removals, fresh_downloads)


# -- models on their way -----------------------------------------------------------------------------------------------

#: Each command on one disk, or, with all points, on each.
ONE_DISK = {"rm": ("btrfs",), "restore": ("xfs",), "download": ("btrfs",)}


def on_disks(command: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("disk", DISKS if ALL else ONE_DISK[command])


def cut_lifecycle(
    mounts: Mounts,
    disk: str,
    build: lifecycle.Build,
    argv: Callable[[str], tuple[str, ...]],
    check: lifecycle.Check,
    env: dict[str, str] | None = None,
    choose: Callable[[list[Point]], list[Point]] = lambda points: points,
    dangling: Sequence[str] = (),
) -> None:
    """Cut `argv` at its points, and judge as after a kill: what was built was on the disk before.

    In the folders `dangling` nothing can be read beforehand.
    """
    images = [mounts.image(disk)]
    stage = DiskStage(mounts, images)
    build(stage.place)
    stage.save()
    place = lifecycle.Place(stage, tree.census(stage.place, dangling))  # type: ignore[arg-type]

    def struck(stage: Stage) -> Command:
        return command(stage.place, *argv(stage.place), env=env)

    def judge(stage: Stage, outcome: Outcome) -> Iterator[str]:
        try:
            yield from check(place, outcome)
        except Failed as failed:
            yield str(failed)

    points = choose(record(stage, struck(stage)))
    # Around what is done to the tree: its own index is only a cache.
    points = points if ALL else [point for point in points if f"/{tree.STATE}/index" not in point.text]
    points = points if ALL else points[len(points) % 3 :: max(1, len(points) // 7)]
    verdicts = power_cuts([stage], struck, points, judge)
    assert len(verdicts) == len(points) > 5
    if found_wrong := complaints(verdicts):
        pytest.fail(f"{len(found_wrong)} of {len(points)} cuts:\n" + "\n".join(found_wrong), pytrace=False)


@on_disks("rm")
def test_rm(mounts: Mounts, disk: str) -> None:
    cut_lifecycle(mounts, disk, lifecycle.build_rm, lambda place: lifecycle.RM, lifecycle.check_rm)


@on_disks("restore")
def test_restore(mounts: Mounts, disk: str) -> None:
    cut_lifecycle(mounts, disk, lifecycle.build_restore, lifecycle.restoring, lifecycle.check_restore)


@on_disks("download")
def test_download_of_what_is_here_already(mounts: Mounts, disk: str) -> None:
    """Up to where the client goes on: what it fetches itself, it does not bring to the disk for good."""
    with LoopbackHub() as hub:
        env = {**hub.environ(), "HF_HUB_OFFLINE": "0"}
        check = lifecycle.check_download(hub, hub.add("org/one", lifecycle.FILES), env)

        def choose(points: list[Point]) -> list[Point]:
            """Not the ioctls: how often the client asks whether it has a terminal differs from run to run. Those that
            share extents are struck below."""
            return [point for point in lifecycle.placing(points) if point.name != "ioctl"]

        cut_lifecycle(mounts, disk, lifecycle.build_download, lifecycle.downloading, check, env, choose)


@pytest.mark.parametrize("disk", DISKS)
def test_pointing_links_to_where_their_vault_is(mounts: Mounts, disk: str) -> None:
    """Red without the fsync of what is announced: then nobody knows the temporary name, or the text that a link had."""
    check = lifecycle.check_moved_vault

    def choose(points: list[Point]) -> list[Point]:
        """What is done to the links and written down of it; how many files it opens before differs from run to run."""
        return [point for point in points if "/models" in point.text or "/runs/" in point.text]

    built = lifecycle.build_moved_vault
    cut_lifecycle(mounts, disk, built, lambda place: lifecycle.FIX, check, choose=choose, dangling=["models"])


@pytest.mark.parametrize("disk", ["btrfs", "xfs"] if ALL else ["btrfs"])
def test_download_at_the_calls_that_share_extents(mounts: Mounts, disk: str) -> None:
    """The power is cut before one of them, and another meets an error: what it cannot share is copied, or told."""
    stage = DiskStage(mounts, [mounts.image(disk)])
    lifecycle.build_download(stage.place)
    stage.save()
    place = lifecycle.Place(stage, tree.census(stage.place))  # type: ignore[arg-type]
    with LoopbackHub() as hub:
        env = {**hub.environ(), "HF_HUB_OFFLINE": "0"}
        check = lifecycle.check_download(hub, hub.add("org/one", lifecycle.FILES), env)
        everything = {**tree.environment(stage.place), **env}
        every = [(n, kind) for n in (1, 2) for kind in (KILL, *range(len(CHANGES["clone"])))]
        for number, kind in every if ALL else [(1, 0), (2, KILL)]:
            stage.fresh()
            fault = Fault(number, kind, what="clone")
            struck = hubfold(everything, *lifecycle.downloading(stage.place), fault=fault)
            ran = struck.ran
            assert struck.killed if kind == KILL else struck.changes >= number, f"{fault} struck nothing"
            if struck.killed:
                stage.cut()
            outcome = Outcome(ran.returncode, ran.stdout, ran.stderr, ())
            assert [*lifecycle.told(outcome), *check(place, outcome)] == [], fault
