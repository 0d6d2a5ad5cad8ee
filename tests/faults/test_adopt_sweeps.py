"""Kill `adopt`, and the undo of it, before each call that changes something, or fail it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.building import tree

from .commands import command, must
from .filesystems import Mounts
from .lifecycle import (
    Place,
    adopting,
    build_adopt,
    build_migrate,
    check_adopt,
    check_migrate,
    migrating,
    undone,
)
from .power_cut import DiskStage, power_cuts
from .scenes import ALL
from .strace_sweep import Command, CopyStage, Failed, Outcome, Point, Stage, complaints, record
from .striking import KILL, Fault, hubfold
from .test_lifecycle_sweeps import FAULTS, places, run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strace")]


def changing(points: list[Point]) -> list[Point]:
    """What the command changes outside its own state, and the calls around it."""
    first = min(i for i, point in enumerate(points) if "models--org--one" in point.text)
    return [point for point in points[max(first - 6, 0) :] if "index.db" not in point.text]


@FAULTS
def test_adopt(tmp_path: Path, fault: str) -> None:
    run(places(tmp_path, build_adopt), adopting, check_adopt, choose=changing, fault=fault)


@FAULTS
def test_undo_of_adopt(tmp_path: Path, fault: str) -> None:
    """The folder reads its bytes at each instant, and another undo ends it. (By inode, so each place is made anew.)"""

    def adopted(number: int) -> Place:
        found = Place(CopyStage(str(tmp_path / str(number))), {})
        os.mkdir(found.path)
        build_adopt(found.path)
        found.before = tree.census(found.path)
        must(found.path, *adopting(found.path))
        return found

    whole = adopted(0)
    changes = hubfold(tree.environment(whole.path), "undo", "-y").changes
    assert changes > 20
    for number in range(1, changes + 1, 1 if ALL else 8):
        place = adopted(number)
        kind = KILL if fault == "kill" else number
        struck = hubfold(tree.environment(place.path), "undo", "-y", fault=Fault(number, kind))
        assert struck.killed == (fault == "kill"), struck.ran
        repo = os.path.join(place.hub, "models--org--one")
        assert not list(tree.losses(place.before, place.path)), number
        must(place.path, "recover", good=(0, 3))
        assert not list(undone(place, repo)), number
        shutil.rmtree(place.path)


def changing_in_the_cache(points: list[Point]) -> list[Point]:
    first = min(i for i, point in enumerate(points) if "hf/hub" in point.text)
    return [point for point in points[max(first - 6, 0) :] if "index.db" not in point.text]


@pytest.mark.parametrize("how", ["leave", "move"])
@FAULTS
def test_migrate(tmp_path: Path, fault: str, how: str) -> None:
    found = places(tmp_path, build_migrate)
    run(
        found,
        lambda place: migrating(place, how),
        check_migrate(how),
        choose=changing_in_the_cache,
        fault=fault,
    )


def on_drive(mounts: Mounts, build: Callable[[str], object]) -> DiskStage:
    """A place on an image whose power can be cut."""
    stage = DiskStage(mounts, [mounts.image("ext4")])
    build(stage.place)
    stage.save()
    return stage


@pytest.mark.parametrize("what", ["adopt", "leave", "move"])
def test_power_cuts(mounts: Mounts, what: str) -> None:
    """Of `adopt`, and of `migrate` by two ways: what is on the drive then is judged as after a kill."""
    build, check = (build_adopt, check_adopt) if what == "adopt" else (build_migrate, check_migrate(what))
    stages = [on_drive(mounts, build) for _ in range(2)]
    by_path = {stage.place: Place(stage, tree.census(stage.place)) for stage in stages}

    def argv(place: str) -> tuple[str, ...]:
        return adopting(place) if what == "adopt" else migrating(place, what)

    def struck(stage: Stage) -> Command:
        return command(stage.place, *argv(stage.place))

    def judge(stage: Stage, outcome: Outcome) -> list[str]:
        try:
            return list(check(by_path[stage.place], outcome))
        except Failed as failed:
            return [str(failed)]

    points = changing_in_the_cache(record(stages[0], struck(stages[0])))
    step = 1 if ALL else max(1, len(points) // 9)
    verdicts = power_cuts(stages, struck, points[len(points) % step :: step], judge)
    assert len(verdicts) > 5 and not complaints(verdicts)


def test_the_judge_sees_a_folder_that_lost_a_file(tmp_path: Path) -> None:
    [place] = places(tmp_path, build_adopt, 1)
    assert not list(check_adopt(place, Outcome(0, "", "", ())))
    tree.write(os.path.join(place.path, "models/one/model.safetensors"), tree.model("another"))
    assert "models/one/model.safetensors reads other bytes" in tree.losses(place.before, place.path)
