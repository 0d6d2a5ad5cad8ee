"""Every changing command is killed, and made to fail, before each call that changes the file system or the state.

After each fault every path reads its bytes; `recover` ends well; the same command then comes to what the clean run
came to; and all of it can be taken back. ``HUBFOLD_FAULTS=all`` tries every point with every errno.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.building import tree
from tests.building.shelf import install

from .commands import command, hubfold, must
from .filesystems import Mounts
from .scenes import ALL, KINDS, Scene, consolidate, guarded, scenes, settled, thinned, whole_again
from .strace_sweep import (
    KILL,
    Command,
    Failed,
    Outcome,
    Point,
    Stage,
    complaints,
    errors,
    kills,
    record,
    strike,
    sweep,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strace")]

FAULTS = ("kill", "error")
#: One of so many points is struck where the sweep is not whole.
STEP = 8
shift = itertools.count()
#: Taking everything back is the dearest check; it takes its turn.
turn = itertools.count()
Judge = Callable[[Scene, Outcome], Iterable[str]]


def struck(
    found: Sequence[Scene],
    what: Callable[[Stage], Command],
    fault: str,
    judge: Callable[[dict[str, str]], Judge],
    *,
    whole: bool = False,
    needs: Iterable[str] = (),
) -> None:
    """Sweep `what` over `found`; `judge` gets the shape that the clean run left and returns the check.

    Unless it is the `whole` of the points, some of them stand for all: each time others, so that the sister sweeps,
    which go through the same code, have all between them. `needs` are calls that must be among the points, so that a
    command that stopped doing its work cannot pass.
    """
    points = record(found[0].stage, what(found[0].stage))
    clean = found[0].shape()
    assert not found[0].losses()
    assert set(needs) <= {point.name for point in points}
    if not ALL:
        points = thinned(points, 3)
        if not whole:
            points = points[next(shift) % STEP :: STEP]
    todo = kills(points) if fault == "kill" else errors(points, every=ALL)
    verdicts = sweep([scene.stage for scene in found], what, todo, guarded(judge(clean), found))
    assert len(verdicts) >= len(points) > 0
    if found_wrong := complaints(verdicts):
        pytest.fail(f"{len(found_wrong)} of {len(todo)} strikes:\n" + "\n".join(found_wrong), pytrace=False)


def scanned(scene: Scene) -> None:
    scene.run("scan", *scene.tree.roots, good=(0,))


def folded(scene: Scene) -> None:
    scene.consolidate()


def told(outcome: Outcome, result: dict[str, str], clean: dict[str, str]) -> Iterator[str]:
    """A command that met an error did all it had to do, or says what it could not do and has the code for that."""
    if outcome.returncode in (-9, 137):
        return
    if outcome.returncode == 0:
        yield from different(result, clean, "the run said that all was well, but ")
    elif outcome.returncode not in (1, 3):
        yield f"it ended with {outcome.returncode}: {outcome.stderr[-500:]}"
    elif not outcome.stderr.strip():
        yield f"it ended with {outcome.returncode} and said nothing"


def different(result: dict[str, str], clean: dict[str, str], prefix: str = "") -> Iterator[str]:
    for path in sorted(result.keys() | clean.keys()):
        if result.get(path) != clean.get(path):
            yield f"{prefix}{path} is {result.get(path)} and was {clean.get(path)} after the clean run"


def refolds(clean: dict[str, str]) -> Judge:
    def judge(scene: Scene, outcome: Outcome) -> Iterator[str]:
        yield from scene.losses()
        yield from told(outcome, scene.shape(), clean)
        yield from settled(scene)
        scene.consolidate()
        yield from scene.losses()
        yield from different(scene.shape(), clean)
        if ALL or next(turn) % 4 == 0:
            yield from whole_again(scene)

    return judge


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", KINDS)
def test_consolidate(mounts: Mounts, name: str, fault: str) -> None:
    kind = KINDS[name]
    # One of them starts from nothing, so that the making of the state directory and of the index is swept too.
    found = scenes(mounts, kind, None if name == "symlink" else scanned)
    needs = {
        "symlink": {"symlinkat", "renameat2", "unlinkat", "linkat", "fsync"},
        "hardlink": {"linkat", "renameat2", "unlinkat", "fsync"},
        "reflink": {"ioctl", "fsync"},
    }[kind.link]
    by_place = {scene.place: scene for scene in found}
    struck(
        found,
        lambda stage: consolidate(stage, by_place),
        fault,
        refolds,
        whole=name == "symlink" and fault == "kill",
        needs=needs,
    )


def undoes(scene: Scene) -> None:
    """`undo`, which may have been finished before: then there is nothing to take back."""
    ran = must(scene.place, "undo", "-y", good=(0, 1))
    if ran.returncode == 1 and "no run to take back" not in ran.stderr:
        raise Failed(str(ran))


def unfolds(clean: dict[str, str]) -> Judge:
    def judge(scene: Scene, outcome: Outcome) -> Iterator[str]:
        yield from scene.losses()
        yield from told(outcome, scene.shape(), clean)
        yield from settled(scene)
        undoes(scene)
        yield from tree.differences(scene.before, scene.place)
        yield from different(scene.shape(), clean)
        if ALL or next(turn) % 4 == 0:
            yield from whole_again(scene)

    return judge


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", KINDS)
def test_undo(mounts: Mounts, name: str, fault: str) -> None:
    kind = KINDS[name]
    found = scenes(mounts, kind, folded)
    needs = {"fsync"} if kind.link == "reflink" else {"renameat2", "unlinkat", "fsync", "utimensat"}
    struck(
        found,
        lambda stage: command(stage.place, "undo", "-y"),
        fault,
        unfolds,
        whole=name == "symlink" and fault == "kill",
        needs=needs,
    )


def without_tokens(scene: Scene) -> None:
    """Folded, and then the links of one object were deleted by their user: that one is garbage, the other is not."""
    scene.consolidate()
    for name in ("models/one/sub/tokenizer.bin", "models/second-name.bin"):
        os.unlink(os.path.join(scene.place, name))
    scene.before = tree.census(scene.place)
    for path in [path for path in scene.before if "/hubfold/" in path]:
        del scene.before[path]


def collects(clean: dict[str, str]) -> Judge:
    def judge(scene: Scene, outcome: Outcome) -> Iterator[str]:
        yield from scene.losses()
        # An empty vault that could not be removed is in nobody's way; the next gc tries again.
        empty = {path: what for path, what in scene.shape().items() if not path.startswith("hf/hubfold/.")}
        yield from told(outcome, empty, {path: what for path, what in clean.items() if path in empty})
        yield from settled(scene)
        must(scene.place, "gc", "-y")
        yield from scene.losses()
        yield from different(scene.shape(), clean)

    return judge


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("needed", [True, False], ids=["one-needed", "none-needed"])
def test_gc(mounts: Mounts, needed: bool, fault: str) -> None:
    def undone(scene: Scene) -> None:
        folded(scene)
        undoes(scene)

    found = scenes(mounts, KINDS["symlink"], without_tokens if needed else undone)
    struck(found, lambda stage: command(stage.place, "gc", "-y"), fault, collects, needs={"unlinkat"})


# -- farms -----------------------------------------------------------------------------------------------------------


def farming(stage: Stage) -> Command:
    return command(stage.place, "farm", os.path.join(stage.place, "farm"), "-y")


def built(scene: Scene) -> None:
    scanned(scene)
    scene.run("farm", os.path.join(scene.place, "farm"), "-y")


def farms(clean: dict[str, str]) -> Judge:
    def judge(scene: Scene, outcome: Outcome) -> Iterator[str]:
        yield from scene.losses()
        yield from told(outcome, scene.shape(), clean)
        yield from settled(scene)
        must(scene.place, "farm", os.path.join(scene.place, "farm"), "-y")
        yield from scene.losses()
        yield from different(scene.shape(), clean)
        if ALL or next(turn) % 4 == 0:
            yield from whole_again(scene)

    return judge


@pytest.mark.parametrize("fault", FAULTS)
def test_building_a_farm(mounts: Mounts, fault: str) -> None:
    found = scenes(mounts, KINDS["symlink"], scanned)
    struck(found, farming, fault, farms, needs={"symlinkat", "linkat", "fsync"})


@pytest.mark.parametrize("fault", FAULTS)
def test_refreshing_a_farm(mounts: Mounts, fault: str) -> None:
    name, stale = "farm/org/one/model.safetensors", "farm/org/one/sub/tokenizer.bin"

    def moved(scene: Scene) -> None:
        """A newer revision: one file changed, one is new, one is gone."""
        built(scene)
        hub = scene.tree.roots[0]
        files = {"model.safetensors": tree.model("newer"), "extra.bin": tree.model("extra", tree.MIB + 1)}
        tree.cache(hub, "org/one", files, "c" * 40)
        # A link whose object is gone goes with the same run.
        os.unlink(os.path.realpath(os.path.join(scene.place, stale)))
        os.unlink(os.path.join(hub, "models--org--one/snapshots", "a" * 40, "sub/tokenizer.bin"))
        text = os.readlink(os.path.join(scene.place, stale))
        os.unlink(os.path.join(scene.place, stale))
        scene.before = tree.census(scene.place)
        os.symlink(text, os.path.join(scene.place, stale))
        for path in [path for path in scene.before if "/hubfold/" in path]:
            del scene.before[path]
        old.add(scene.before.pop(os.path.join(scene.place, name)).digest)

    old: set[str] = set()
    found = scenes(mounts, KINDS["symlink"], moved)

    def refreshes(clean: dict[str, str]) -> Judge:
        def judge(scene: Scene, outcome: Outcome) -> Iterator[str]:
            link = os.path.join(scene.place, name)
            new = tree.digest(
                os.path.join(scene.tree.roots[0], "models--org--one/snapshots", "c" * 40, "model.safetensors")
            )
            for _ in range(2):
                if tree.digest(link) not in {*old, new}:
                    yield "the farm's link reads neither revision"
                yield from scene.losses()
                yield from told(outcome, scene.shape(), clean)
                yield from settled(scene)
            must(scene.place, "farm", os.path.join(scene.place, "farm"), "-y")
            yield from scene.losses()
            yield from different(scene.shape(), clean)
            if os.path.lexists(os.path.join(scene.place, stale)):
                yield "the link whose object is gone is there still"
            if tree.digest(link) != new:
                yield "the farm's link does not read the newer revision"

        return judge

    struck(found, farming, fault, refreshes, needs={"symlinkat", "linkat", "fsync"})


@pytest.mark.parametrize("fault", FAULTS)
def test_undo_of_a_farm(mounts: Mounts, fault: str) -> None:
    found = scenes(mounts, KINDS["symlink"], built)

    def unbuilds(clean: dict[str, str]) -> Judge:
        """The folder of an empty farm that could not be removed is no loss."""
        judge = unfolds(clean)
        return lambda scene, outcome: (text for text in judge(scene, outcome) if ".hubfold-farm" not in text)

    struck(
        found, lambda stage: command(stage.place, "undo", "-y"), fault, unbuilds, needs={"unlinkat", "fsync"}
    )


# -- the folder of a program ------------------------------------------------------------------------------------------


def filling(stage: Stage) -> Command:
    return command(stage.place, *FILL, os.path.join(stage.place, "farm"), "-y")


FILL = ("farm", "--for", "shelf")


def with_a_program(scene: Scene) -> None:
    """The plugin of a program that takes hard links alone and reads notes."""
    scanned(scene)
    install(Path(scene.place, tree.STATE, "plugins"), "LinkKind.HARDLINK")


def filled(scene: Scene) -> None:
    with_a_program(scene)
    scene.run(*FILL, os.path.join(scene.place, "farm"), "-y")


def no_note_without_its_files(scene: Scene) -> Iterator[str]:
    lists = Path(scene.place, "farm/lists")
    for note in lists.iterdir() if lists.is_dir() else ():
        if note.name.startswith(".hubfold"):
            continue
        for name in json.loads(note.read_text())[1:]:
            if not (lists.parent / "weights" / f"{note.stem}.{name}").is_file():
                yield f"{note} tells of {name}, which is not there"


def fills(clean: dict[str, str]) -> Judge:
    def judge(scene: Scene, outcome: Outcome) -> Iterator[str]:
        yield from scene.losses()
        yield from no_note_without_its_files(scene)
        yield from told(outcome, scene.shape(), clean)
        yield from settled(scene)
        must(scene.place, *FILL, os.path.join(scene.place, "farm"), "-y")
        yield from scene.losses()
        yield from different(scene.shape(), clean)
        if ALL or next(turn) % 4 == 0:
            yield from whole_again(scene)

    return judge


@pytest.mark.parametrize("fault", FAULTS)
def test_filling_the_folder_of_a_program(mounts: Mounts, fault: str) -> None:
    found = scenes(mounts, KINDS["symlink"], with_a_program)
    struck(found, filling, fault, fills, needs={"linkat", "fsync"})


@pytest.mark.parametrize("fault", FAULTS)
def test_refreshing_the_folder_of_a_program(mounts: Mounts, fault: str) -> None:
    def moved(scene: Scene) -> None:
        """A newer revision, in which a file changed; the cache has the older one too."""
        filled(scene)
        hub = scene.tree.roots[0]
        tree.cache(hub, "org/one", {"model.safetensors": tree.model("newer")}, "c" * 40)
        scene.before = {
            path: seen
            for path, seen in tree.census(scene.place).items()
            if "/hubfold/" not in path and "/farm/" not in path
        }

    found = scenes(mounts, KINDS["symlink"], moved)

    def refreshes(clean: dict[str, str]) -> Judge:
        def judge(scene: Scene, outcome: Outcome) -> Iterator[str]:
            name = os.path.join(scene.place, "farm/weights/org--one.model.safetensors")
            revisions = Path(scene.tree.roots[0], "models--org--one/snapshots")
            known = {tree.digest(str(one / "model.safetensors")) for one in revisions.iterdir()}
            if tree.digest(name) not in known:
                yield "what the program reads is neither revision"
            yield from no_note_without_its_files(scene)
            yield from scene.losses()
            yield from told(outcome, scene.shape(), clean)
            yield from settled(scene)
            must(scene.place, *FILL, os.path.join(scene.place, "farm"), "-y")
            yield from scene.losses()
            yield from different(scene.shape(), clean)

        return judge

    struck(found, filling, fault, refreshes, needs={"linkat", "renameat", "fsync"})


@pytest.mark.parametrize("fault", FAULTS)
def test_undo_of_the_folder_of_a_program(mounts: Mounts, fault: str) -> None:
    found = scenes(mounts, KINDS["symlink"], filled)

    def empties(clean: dict[str, str]) -> Judge:
        judge = unfolds(clean)
        return lambda scene, outcome: itertools.chain(no_note_without_its_files(scene), judge(scene, outcome))

    struck(
        found, lambda stage: command(stage.place, "undo", "-y"), fault, empties, needs={"unlinkat", "fsync"}
    )


# -- recover itself --------------------------------------------------------------------------------------------------


def crashed(
    what: Callable[[Stage], Command], name: str, text: str, before: Callable[[Scene], object]
) -> Callable[[Scene], None]:
    """Prepares a scene whose `what` was killed before the last of its calls of `name` with `text` in it."""

    def prepare(scene: Scene) -> None:
        before(scene)
        scene.stage.save()
        points = record(scene.stage, what(scene.stage))
        scene.stage.fresh()
        point = [point for point in points if point.name == name and text in point.text][-1]
        assert strike(scene.stage, what(scene.stage), point, KILL).hit is not None

    return prepare


def undoing(stage: Stage) -> Command:
    return command(stage.place, "undo", "-y")


CRASHES = {
    "consolidate-symlink": ("symlink", None, "unlinkat", ".hubfold-"),
    "consolidate-hardlink": ("hardlink", None, "unlinkat", ".hubfold-"),
    "consolidate-exchange": ("across", None, "renameat2", ".hubfold-"),
    "undo-symlink": ("symlink", undoing, "unlinkat", "-undo"),
    "undo-hardlink": ("hardlink", undoing, "renameat2", "-undo"),
    "reflink": ("reflink", None, "ioctl", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("crash", CRASHES)
def test_recover(mounts: Mounts, crash: str, fault: str) -> None:
    name, other, call, text = CRASHES[crash]

    def first(stage: Stage) -> Command:
        if other is not None:
            return other(stage)
        kind = KINDS[name]
        roots = kind.build  # the roots are the same in every place of the kind
        del roots
        return command(stage.place, "consolidate", *_roots(stage.place, name), *kind.options, "-y")

    found = scenes(mounts, KINDS[name], crashed(first, call, text, folded if other else scanned))

    def recovers(clean: dict[str, str]) -> Judge:
        def judge(scene: Scene, outcome: Outcome) -> Iterator[str]:
            yield from scene.losses()
            if "cannot be looked at now" not in outcome.stdout + outcome.stderr:
                yield from told(outcome, scene.shape(), clean)
            yield from settled(scene)
            yield from different(scene.shape(), clean)
            if hubfold(scene.place, "recover").stdout.strip() not in ("", "nothing to recover"):
                yield "a second recover found something to do"
            scene.consolidate()
            yield from scene.losses()
            yield from whole_again(scene)

        return judge

    struck(found, lambda stage: command(stage.place, "recover"), fault, recovers, needs={"fsync"})


def _roots(place: str, name: str) -> tuple[str, ...]:
    home = os.path.join(place, "drive") if name == "across" else place
    return (os.path.join(place, "hf/hub"), os.path.join(home, "models"), os.path.join(home, "plain"))


def test_the_points_that_are_struck_are_the_ones_that_change_something(mounts: Mounts) -> None:
    """What the sweeps strike, by hand once: the exchange of names is there, with the calls around it, in order."""
    scene = scenes(mounts, KINDS["symlink"], scanned, count=1)[0]
    points: list[Point] = record(scene.stage, consolidate(scene.stage, {scene.place: scene}))
    tree_calls = [point.name for point in points if f"/{tree.STATE}/" not in point.text]
    order = [tree_calls.index(name) for name in ("fsync", "linkat", "symlinkat", "renameat2", "unlinkat")]
    assert order == sorted(order)
