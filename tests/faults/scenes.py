"""Trees on stages, and the verdict on them: what must hold after any fault, and after the commands that follow it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.building import tree
from tests.building.tree import Seen, Tree

from .commands import command, hubfold, must
from .filesystems import Mounts
from .power_cut import DiskStage
from .strace_sweep import Command, Failed, Outcome, Point, Stage

#: Whether every point of a sweep is struck, and by every errno, instead of some that stand for all.
ALL = os.environ.get("HUBFOLD_FAULTS") == "all"


@dataclass(frozen=True, slots=True)
class Kind:
    """One way of folding: the tree, the file systems it stands on (outermost first), the arguments."""

    name: str
    link: str
    disks: tuple[str, ...]
    build: Callable[[str], Tree]
    options: tuple[str, ...] = ()


def _across(place: str) -> Tree:
    return tree.one_cache(place, os.path.join(place, "drive"))


def _caches_across(place: str) -> Tree:
    return tree.two_caches(place, os.path.join(place, "drive"))


KINDS = {
    kind.name: kind
    for kind in (
        Kind("symlink", "symlink", ("ext4",), tree.one_cache),
        Kind("hardlink", "hardlink", ("ext4",), tree.one_cache, ("--link", "hardlink")),
        Kind("caches", "hardlink", ("ext4",), tree.two_caches),
        Kind("across", "symlink", ("ext4", "ext4"), _across),
        Kind("private", "symlink", ("ext4", "ext4"), _caches_across),
        Kind("reflink", "reflink", ("xfs",), tree.one_cache),
        Kind("reflink-btrfs", "reflink", ("btrfs",), tree.one_cache),
    )
}


@dataclass(slots=True)
class Scene:
    """A tree of a kind on a stage of its own. `before` is what its user saw before hubfold came."""

    kind: Kind
    stage: DiskStage
    tree: Tree
    before: dict[str, Seen]

    @property
    def place(self) -> str:
        return self.stage.place

    def run(self, *argv: str, good: tuple[int, ...] = (0,)) -> None:
        must(self.place, *argv, good=good)

    def consolidate(self) -> None:
        self.run("consolidate", *self.tree.roots, *self.kind.options, "-y")

    def shape(self) -> dict[str, str]:
        return tree.shape(self.place)

    def losses(self, but: Iterable[str] = ()) -> list[str]:
        return tree.losses(self.before, self.place, but)


def consolidate(stage: Stage, scenes: Mapping[str, Scene]) -> Command:
    scene = scenes[stage.place]
    return command(stage.place, "consolidate", *scene.tree.roots, *scene.kind.options, "-y")


def scenes(
    mounts: Mounts, kind: Kind, prepare: Callable[[Scene], object] | None = None, count: int = 2
) -> list[Scene]:
    """`count` equal scenes of `kind`; `prepare` takes them to where the command to be struck starts."""
    found = []
    for _ in range(count):
        images = [mounts.image(kind.disks[0])]
        for disk in kind.disks[1:]:
            images.append(mounts.image(disk, at=os.path.join(images[0].path, "drive")))
        stage = DiskStage(mounts, images)
        built = kind.build(stage.place)
        scene = Scene(kind, stage, built, tree.census(stage.place))
        for root in built.roots:
            scene.run("roots", "add", root)
        if prepare is not None:
            prepare(scene)
        stage.save()
        found.append(scene)
    return found


def guarded(
    check: Callable[[Scene, Outcome], Iterable[str]], found: Sequence[Scene]
) -> Callable[[Stage, Outcome], list[str]]:
    """A sweep's check out of a scene's: a command that fails along the way is a problem, not the end of the sweep."""
    by_place = {scene.place: scene for scene in found}

    def judge(stage: Stage, outcome: Outcome) -> list[str]:
        problems: list[str] = []
        try:
            problems.extend(check(by_place[stage.place], outcome))
        except Failed as failed:
            problems.append(str(failed))
        if "Traceback (most recent call last)" in outcome.stderr:
            problems.append(f"a traceback: {outcome.stderr[-1500:]}")
        return problems

    return judge


def whole_again(scene: Scene) -> Iterator[str]:
    """Every run taken back and the vault emptied: all is as it was, and nothing of ours is left."""
    for _ in range(6):
        if must(scene.place, "undo", "-y", good=(0, 1)).returncode == 1:
            break
    must(scene.place, "gc", "-y")
    yield from tree.differences(scene.before, scene.place)
    yield from tree.leftovers(scene.before, scene.place, vaults=False)


def thinned(points: Sequence[Point], few: int = 8) -> list[Point]:
    """All points, but of the many writes to the index, which is only a cache, an even choice of `few`."""
    index = [point for point in points if f"/{tree.STATE}/index" in point.text]
    chosen = set(index[:: max(1, len(index) // few)])
    return [point for point in points if point not in index or point in chosen]


__all__ = [
    "KINDS",
    "Kind",
    "Scene",
    "consolidate",
    "guarded",
    "hubfold",
    "partial",
    "scenes",
    "thinned",
    "whole_again",
]


def settled(scene: Scene, but: Iterable[str] = ()) -> Iterator[str]:
    """What holds once `recover` has run; the bytes of `but` are not judged."""
    must(scene.place, "recover")
    yield from scene.losses(but)
    yield from (left for left in tree.leftovers(scene.before, scene.place) if "/farm/" not in f"/{left}")
    for run in must(scene.place, "runs", "--json").json["runs"]:
        if run["state"] == "unfinished":
            yield f"run {run['run']} is unfinished after recover"
