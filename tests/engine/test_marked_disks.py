"""The figure of what is marked is what the file system has free afterwards: asked of `statvfs`, as `df` asks it.

Random trees on images of btrfs and xfs: models in two caches and in local copies, of which some share extents, some are
one file with several names, and some are read by links from elsewhere; random marks, removed or folded.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.content import Marks
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, safetensors
from tests.faults.filesystems import Mounts, Unavailable

MIB = 1 << 20
NAMES = ("org/a", "org/b", "org/c", "org/d")
#: What folders, notes and the file system's own records take, besides one part in a hundred.
_RECORDS = MIB // 2


@pytest.fixture(params=["btrfs", "xfs"])
def drive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with Mounts(tmp_path) as mounts:
        try:
            yield Path(mounts.image(request.param, 512 * MIB).path)
        except Unavailable as lack:
            pytest.skip(str(lack))


def free(drive: Path) -> int:
    """What the drive has free once all is written and let go of."""
    for _ in range(2):
        fd = os.open(drive, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        subprocess.run(["sync", "-f", drive], check=True)
    found = os.statvfs(drive)
    return found.f_bfree * found.f_frsize


class Scene:
    """Models whose weights are drawn from a few contents, and what a chance has made of their files."""

    def __init__(self, tree: Tree, hub: LoopbackHub, seed: int) -> None:
        self.chance = random.Random(seed)
        self.tree = tree
        contents = [safetensors(str(number), (3 + number) * MIB) for number in range(6)]
        for name in NAMES:
            some = self.chance.sample(contents, 3)
            files = {f"{number}.safetensors": content for number, content in enumerate(some)}
            hub.add(name, {"config.json": name.encode(), **files})
        tree.build({"hf/hub": hub_cache(*NAMES), "other/hub": hub_cache(*self.chance.sample(NAMES, 2))})
        for name in self.chance.sample(NAMES, 2):
            tree.build({f"models/{name[-1]}": local_dir(name)})
        tree["elsewhere"].mkdir()
        #: Whether that is scanned too. Where it is not, nobody but the file system knows what has the extents of two.
        self.known = self.chance.random() < 0.5
        for number in range(10):
            self._joined(number)

    def _joined(self, number: int) -> None:
        """Two files of one content become one, share their extents, or are read from elsewhere."""
        files = [
            path for top in ("hf", "other", "models") for path in self.tree[top].rglob("*") if self._big(path)
        ]
        one = self.chance.choice(sorted(files))
        alike = [path for path in sorted(files) if path != one and path.read_bytes() == one.read_bytes()]
        how = self.chance.choice(
            ["extents", "extents", "hard link", "elsewhere", "elsewhere by extents", "symlink"]
        )
        place = self.tree["elsewhere"] / f"{number}.safetensors"
        if how in ("extents", "hard link") and alike:
            other = self.chance.choice(alike)
            how_to_copy = "--reflink=always" if how == "extents" else "--link"
            subprocess.run(["cp", "-p", how_to_copy, one, f"{other}.new"], check=True)
            os.rename(f"{other}.new", other)
        elif how == "elsewhere":
            os.link(one, place)
        elif how == "elsewhere by extents" and self.known:
            subprocess.run(["cp", "--reflink=always", one, place], check=True)
        elif how == "symlink":
            place.symlink_to(one)

    def _big(self, path: Path) -> bool:
        return path.is_file() and not path.is_symlink() and path.stat().st_size >= MIB

    def marks(self, engine: Engine) -> Marks:
        """Some models where they lie, some files of others, and some duplicate sets."""
        places = engine.picture().figures.places
        chosen = self.chance.sample(places, self.chance.randint(1, len(places)))
        some = {one.path for one in chosen if self.chance.random() < 0.7}
        files = {
            (one.path, self.chance.choice(one.files).name)
            for one in chosen
            if one.path not in some and one.files
        }
        sets = {one.replicas[0].path for one, _ in engine.dupes().sets if self.chance.random() < 0.5}
        return Marks(frozenset(some), frozenset(files), frozenset(sets))


def tried(drive: Path, hub: LoopbackHub, seed: int) -> None:
    place = drive / str(seed)
    place.mkdir()
    scene = Scene(Tree(place, hub), hub, seed)
    environ = {"HF_HUB_CACHE": str(place / "hf/hub"), "HOME": str(place / "home")}
    with Engine(drive.parent / f"state-{drive.name}-{seed}", environ=environ) as engine:
        for root in ("other/hub", "models", *(["elsewhere"] if scene.known else [])):
            engine.add_root(place / root)
        engine.scan(promise=False)
        marks = scene.marks(engine)
        removes = bool(marks.places or marks.files) and scene.chance.random() < 0.6
        picture = engine.picture()
        before = free(drive)
        if removes:
            told, report = (
                engine.joint_removal(picture, marks).bytes,
                engine.apply_removal(engine.plan_removal(marks)),
            )
        else:
            told, report = engine.joint_fold(picture, marks).bytes, engine.apply(engine.plan_fold(marks))
        freed = free(drive) - before
    assert not report.failed
    how = "removing" if removes else "folding"
    assert abs(told - freed) <= told // 100 + _RECORDS, f"{seed}: {how} told {told:,}, and {freed:,} are free"
    shutil.rmtree(place)


@pytest.mark.slow
def test_what_is_told_of_marks_is_what_df_shows(drive: Path, loopback_hub: LoopbackHub) -> None:
    for seed in range(1, 1 + int(os.environ.get("HUBFOLD_TEST_TRIES", "4"))):
        tried(drive, loopback_hub, seed)
