"""Kill `move`, `recall` and `balance` before each call that changes something, fail it, or cut the power there.

The model lies on one file system and moves to another. After each strike: every path reads its bytes, no revision is
there that is not whole, a command that met an error says so; `recover` leaves nothing of its own; the same command then
comes to the end, and taken back all is as it was. ``HUBFOLD_FAULTS=all`` strikes every point.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.building import tree

from .commands import command, must
from .filesystems import Mounts
from .lifecycle import FILES, ONE, lies, ours, told
from .power_cut import power_cuts
from .scenes import ALL, Kind, Scene, guarded, scenes, settled, thinned, whole_again
from .strace_sweep import Outcome, Point, complaints, errors, kills, record, sweep

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strace")]

MOVE = ("move", "org/one", "--to")
BALANCE = ("balance", "-y")
#: Strikes of one sweep, where not every point is struck.
FEW = 6


def build(place: str) -> tree.Tree:
    """A model on one drive; another one that stays."""
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", FILES, ONE)
    tree.cache(hub, "org/two", {"other.bin": tree.model("other")}, ONE)
    return tree.Tree(place, (hub,), ())


KIND = Kind("move", "symlink", ("ext4", "ext4"), build)


def target(scene: Scene) -> str:
    return os.path.join(scene.place, "drive/hub")


def moving(place: str) -> tuple[str, ...]:
    return (*MOVE, os.path.join(place, "drive/hub"), "-y")


def blobs(scene: Scene) -> list[str]:
    folder = os.path.join(scene.place, "hf/hub/models--org--one/blobs")
    return sorted(os.path.join(folder, name) for name in os.listdir(folder))


def in_the_target(scene: Scene) -> Iterator[str]:
    """No revision that a client would be given, and that is not whole."""
    yield from lies(os.path.join(target(scene), "models--org--one"), {}, {ONE: set(FILES)})
    for name, data in FILES.items():
        path = os.path.join(target(scene), "models--org--one/snapshots", ONE, name)
        if os.path.exists(path) and tree.digest(path) != tree.digest(
            tree.write(scene.place + "/.home/x", data)
        ):
            yield f"{name} reads other bytes in the target"


def struck_move(scene: Scene, outcome: Outcome) -> Iterator[str]:
    yield from struck(scene, outcome, moving(scene.place))


def struck_balance(scene: Scene, outcome: Outcome) -> Iterator[str]:
    yield from struck(scene, outcome, BALANCE)


def struck(scene: Scene, outcome: Outcome, argv: tuple[str, ...]) -> Iterator[str]:
    yield from told(outcome)
    yield from scene.losses()
    yield from in_the_target(scene)
    if outcome.returncode == 0:
        yield from (
            f"it was content, and {path} is no link" for path in blobs(scene) if not os.path.islink(path)
        )
    must(scene.place, "recover")
    yield from scene.losses()
    yield from ours(scene.place)
    must(scene.place, *argv)
    yield from (f"{path} is no link after all" for path in blobs(scene) if not os.path.islink(path))
    yield from scene.losses()
    yield from in_the_target(scene)
    yield from ours(scene.place)
    yield from whole_again(scene)


def struck_recall(scene: Scene, outcome: Outcome) -> Iterator[str]:
    yield from told(outcome)
    yield from scene.losses()
    yield from in_the_target(scene)
    yield from (loss for loss in settled(scene) if "drive/hub" not in loss)
    # It was taken back already, or is now; a copy that is left is a whole model.
    must(scene.place, "recall", "org/one", "-y", good=(0, 1))
    yield from (f"{path} is a link still" for path in blobs(scene) if os.path.islink(path))
    yield from in_the_target(scene)
    yield from ours(scene.place)
    yield from tree.differences(scene.before, scene.place)


def chosen(points: list[Point], fault: str) -> list[Point]:
    points = thinned(points, 3)
    if ALL:
        return points
    step = max(1, len(points) // FEW)
    return points[len(fault) * 7 % step :: step]


def folded(place: str) -> tree.Tree:
    """The same with a local copy: folded, its link reads the model through a vault."""
    built = build(place)
    copy = os.path.join(place, "models/one")
    tree.local_dir(copy, FILES)
    return tree.Tree(place, (*built.roots, copy), ())


def fold(scene: Scene) -> None:
    for root in (os.path.join(scene.place, "hf/hub"), os.path.join(scene.place, "models/one")):
        scene.run("roots", "add", root)
    scene.run("consolidate", "-y")


def only_the_vault_has_it(scene: Scene) -> None:
    """A client deleted the model that the local copy was folded into."""
    fold(scene)
    shutil.rmtree(os.path.join(scene.place, "hf/hub/models--org--one"))
    found = tree.census(scene.place)
    scene.before = {path: seen for path, seen in found.items() if "hf/hubfold/" not in path}


def moving_all(place: str) -> tuple[str, ...]:
    return ("move", "--cache", os.path.join(place, "hf"), "--to", os.path.join(place, "drive/hub"), "-y")


def readers(scene: Scene) -> list[str]:
    return [os.path.realpath(os.path.join(scene.place, "models/one", name)) for name in FILES]


def struck_whole(scene: Scene, outcome: Outcome) -> Iterator[str]:
    """The local copy reads its bytes at each instant; in the end from the new vault, and taken back from the old."""
    yield from told(outcome)
    yield from scene.losses()
    must(scene.place, "recover")
    yield from scene.losses()
    yield from ours(scene.place)
    must(scene.place, *moving_all(scene.place))
    yield from scene.losses()
    yield from ours(scene.place)
    must(scene.place, "gc", "-y")
    yield from scene.losses()
    drive = os.path.realpath(os.path.join(scene.place, "drive"))
    yield from (f"{path} is read still" for path in readers(scene) if not path.startswith(drive))
    old = os.path.join(scene.place, "hf/hubfold/objects")
    yield from (f"{path} is there still" for path in tree.files(old) if not path.endswith(".links"))
    for run in must(scene.place, "runs", "--json").json["runs"]:
        if run["command"] == "move" and run["state"] not in ("undone",) and run["actions"]:
            must(scene.place, "undo", run["run"], "-y", good=(0, 1))
    yield from scene.losses()
    yield from ours(scene.place)
    yield from (f"{path} is read after all" for path in readers(scene) if path.startswith(drive))


def limited(place: str) -> tree.Tree:
    """A place that holds more than it may, and one behind it."""
    built = build(place)
    behind = os.path.join(place, "drive/hub")
    tree.cache(behind, "org/there", {"x.bin": b"x"}, ONE)
    return tree.Tree(place, (*built.roots, behind), ())


def limit(scene: Scene) -> None:
    scene.run("roots", "add", os.path.join(scene.place, "hf/hub"), "--role", "primary", "--limit", "100kB")


def run(
    found: list[Scene],
    argv: Callable[[str], tuple[str, ...]],
    check: Callable[[Scene, Outcome], Iterator[str]],
    fault: str,
) -> None:
    def what(stage: object) -> object:
        place = stage.place  # type: ignore[attr-defined]
        return command(place, *argv(place))

    points = record(found[0].stage, what(found[0].stage))  # type: ignore[arg-type]
    assert len(points) > 30
    points = chosen(points, fault)
    stages = [scene.stage for scene in found]
    judge = guarded(check, found)
    if fault == "cut":
        verdicts = power_cuts(stages, what, points, judge)  # type: ignore[arg-type]
    else:
        todo = kills(points) if fault == "kill" else errors(points, every=ALL)
        verdicts = sweep(stages, what, todo, judge)  # type: ignore[arg-type]
    assert not complaints(verdicts)


@pytest.mark.parametrize("fault", ["kill", "error", "cut"])
def test_move(mounts: Mounts, fault: str) -> None:
    run(scenes(mounts, KIND), moving, struck_move, fault)


def struck_led_back(scene: Scene, outcome: Outcome) -> Iterator[str]:
    yield from told(outcome)
    yield from scene.losses()
    yield from in_the_target(scene)
    yield from (loss for loss in settled(scene) if "drive/hub" not in loss)
    must(scene.place, "recall", "org/one", "-y", good=(0, 1))
    yield from (f"{path} is a link still" for path in blobs(scene) if os.path.islink(path))
    hf = os.path.join(os.path.realpath(scene.place), "hf/")
    for name in FILES:
        path = os.path.join(scene.place, "models/one", name)
        if not os.path.realpath(path).startswith(hf):
            yield f"{path} reads the copy still"
    yield from in_the_target(scene)
    yield from ours(scene.place)
    # A recall that came to the end of it but for the copy leaves that: a whole model.
    yield from (loss for loss in whole_again(scene) if "drive/hub" not in loss)


@pytest.mark.parametrize("fault", ["kill", "error", "cut"])
def test_move_of_what_a_vault_holds(mounts: Mounts, fault: str) -> None:
    kind = Kind("led", "symlink", ("ext4", "ext4"), folded)
    run(scenes(mounts, kind, fold), moving, struck_move, fault)


@pytest.mark.parametrize("fault", ["kill", "error", "cut"])
def test_move_of_a_whole_cache(mounts: Mounts, fault: str) -> None:
    kind = Kind("whole", "symlink", ("ext4", "ext4"), folded)
    run(scenes(mounts, kind, only_the_vault_has_it), moving_all, struck_whole, fault)


@pytest.mark.parametrize("fault", ["kill", "error", "cut"])
def test_recall_of_what_a_vault_holds(mounts: Mounts, fault: str) -> None:
    kind = Kind("led", "symlink", ("ext4", "ext4"), folded)

    def moved(scene: Scene) -> None:
        fold(scene)
        scene.run(*moving(scene.place))

    run(scenes(mounts, kind, moved), lambda place: ("recall", "org/one", "-y"), struck_led_back, fault)


@pytest.mark.parametrize("fault", ["kill", "error", "cut"])
def test_recall(mounts: Mounts, fault: str) -> None:
    found = scenes(mounts, KIND, lambda scene: scene.run(*moving(scene.place)))
    run(found, lambda place: ("recall", "org/one", "-y"), struck_recall, fault)


@pytest.mark.parametrize("fault", ["kill", "error", "cut"])
def test_balance(mounts: Mounts, fault: str) -> None:
    """Of two models, each moved under a run of its own."""
    kind = Kind("balance", "symlink", ("ext4", "ext4"), limited)
    run(scenes(mounts, kind, limit), lambda place: BALANCE, struck_balance, fault)
