"""Kill `rm`, `clean`, `download`, `restore`, `backup`, `scan` before each call that changes something, or fail it.

After each strike: what was not named reads as before, a revision that is there is whole, a command that met an error
says so or did its work all the same, and the same command again finishes the work and leaves nothing of hubfold's own
behind. ``HUBFOLD_FAULTS=all`` strikes every point, with each of its errnos.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from tests.building import tree

from .commands import command, enrol, must
from .lifecycle import (
    FILES,
    ONE,
    RM,
    TWO,
    Build,
    Check,
    Place,
    build_download,
    build_restore,
    build_rm,
    check_download,
    check_restore,
    check_rm,
    downloading,
    lies,
    ours,
    placing,
    restoring,
    told,
)
from .scenes import ALL, thinned
from .strace_sweep import CopyStage, Failed, Outcome, Point, Stage, complaints, errors, kills, record, sweep

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strace")]

FAULTS = pytest.mark.parametrize("fault", ("kill", "error"))
#: Strikes of a sweep by errors, and of those that came later: they share the time that the tier has.
FEW = 5


def places(tmp_path: Path, build: Build, count: int = 2) -> list[Place]:
    """Equal places, each ready for the command."""
    found = []
    for number in range(count):
        path = str(tmp_path / f"place-{number}")
        os.mkdir(path)
        build(path)
        stage = CopyStage(path)
        stage.save()
        found.append(Place(stage, tree.census(path)))
    return found


def run(
    found: list[Place],
    argv: Callable[[str], tuple[str, ...]],
    check: Check,
    *,
    env: dict[str, str] | None = None,
    choose: Callable[[list[Point]], list[Point]] = lambda points: points,
    fault: str = "kill",
    few: bool = False,
) -> None:
    by_path = {place.path: place for place in found}

    def struck(stage: Stage) -> object:
        return command(stage.place, *argv(stage.place), env=env)

    def judge(stage: Stage, outcome: Outcome) -> list[str]:
        problems = list(told(outcome))
        try:
            problems += list(check(by_path[stage.place], outcome))
        except Failed as failed:
            problems.append(str(failed))
        return problems

    points = choose(record(found[0].stage, struck(found[0].stage)))  # type: ignore[arg-type]
    points = points if ALL else thinned(points, 40 if few else 4)
    assert len(points) > 15
    if not ALL:
        # Each sweep another fifth of its points, so that the tier stays within its time.
        step = len(points) // FEW if few or fault == "error" else 5
        points = points[len(points) % step :: step]
    todo = kills(points) if fault == "kill" else errors(points, every=ALL)
    verdicts = sweep([place.stage for place in found], struck, todo, judge)  # type: ignore[arg-type]
    assert not complaints(verdicts)


@FAULTS
def test_rm(tmp_path: Path, fault: str) -> None:
    run(places(tmp_path, build_rm), lambda place: RM, check_rm, fault=fault)


def test_rm_of_a_repository_behind_a_link(tmp_path: Path) -> None:
    """It is removed where it lies, and its link last but for the empty folder: at each instant `rm` goes on with it."""

    def build(place: str) -> None:
        build_rm(place)
        repo, large = os.path.join(place, "hf/hub/models--org--one"), os.path.join(place, "large")
        os.mkdir(large)
        os.rename(repo, os.path.join(large, "one"))
        os.symlink("../../large/one", repo)
        tree.write(os.path.join(large, "beside.safetensors"), tree.model("beside"))
        enrol(place, os.path.join(place, "hf/hub"))

    def check(place: Place, outcome: Outcome) -> Iterator[str]:
        yield from check_rm(place, outcome)
        rest = tree.files(os.path.join(place.path, "large/one"))
        if rest:
            yield f"content is left, and nothing leads to it: {rest}"

    run(places(tmp_path, build), lambda place: RM, check)


def build_copy(place: str) -> None:
    """A local copy of org/one, by its client's notes, with a file of the user's beside it."""
    copy = os.path.join(place, "models/one")
    for name, data in FILES.items():
        path = os.path.join(copy, name)
        tree.write(path, data)
        os.utime(path, (1_700_000_000, 1_700_000_000))
        note = os.path.join(copy, ".cache/huggingface/download", f"{name}.metadata")
        tree.write(note, f"{ONE}\n{hashlib.sha256(data).hexdigest()}\n1700000001.0\n".encode())
    tree.write(os.path.join(copy, "mine.txt"), b"mine")


def test_rm_of_a_local_copy(tmp_path: Path) -> None:
    """Its notes go in one rename, so no kill leaves a part of the copy that is taken for a smaller whole; and the same
    command ends what a kill cut short."""

    def build(place: str) -> None:
        tree.cache(
            os.path.join(place, "hf/hub"), "org/one", {"model.safetensors": tree.model("weights")}, ONE
        )
        build_copy(place)
        enrol(place, os.path.join(place, "models"))

    def arguments(place: str) -> tuple[str, ...]:
        return ("rm", os.path.join(place, "models/one"), "-y")

    def check(place: Place, outcome: Outcome) -> Iterator[str]:
        copy = os.path.join(place.path, "models/one")
        named = [
            path for path in place.before if path.startswith(copy + "/") and not path.endswith("mine.txt")
        ]
        yield from tree.losses(place.before, place.path, named)
        must(place.path, "recover", good=(0, 3))
        for model in must(place.path, "ls", "--files", "--json").json["models"]:
            for found in model["places"]:
                [revision] = found["revisions"]
                names = {file["name"] for file in revision["files"]}
                if found["path"] == copy and revision["state"] == "whole" and names != set(FILES):
                    yield f"the copy is called whole with {names}"
        yield from tree.losses(place.before, place.path, named)
        yield from ours(place.path)
        # What is left of it needs no notes to be found: the journal has them.
        if os.listdir(copy) != ["mine.txt"]:
            must(place.path, *arguments(place.path))
        yield from (f"{path} is still there" for path in named if os.path.lexists(path))
        if os.listdir(copy) != ["mine.txt"]:
            yield f"folders are left of the copy: {os.listdir(copy)}"
        yield from tree.losses(place.before, place.path, named)

    def removing(points: list[Point]) -> list[Point]:
        """From the announcement on: what comes before is the state's own."""
        first = min(i for i, point in enumerate(points) if "models/one" in point.text)
        return points[first - 4 :]

    run(places(tmp_path, build), arguments, check, choose=removing)


def build_redundant(place: str) -> None:
    """A copy that the cache has, one that it has not, and a file of the user's in the first."""
    tree.cache(os.path.join(place, "hf/hub"), "org/one", FILES, ONE)
    tree.local_dir(os.path.join(place, "models/one"), FILES, ONE)
    tree.local_dir(os.path.join(place, "models/alone"), {"alone.bin": tree.model("alone")}, TWO)
    tree.write(os.path.join(place, "models/one/mine.txt"), b"mine")
    enrol(place, os.path.join(place, "models"), os.path.join(place, "hf/hub"))


def check_redundant(place: Place, outcome: Outcome) -> Iterator[str]:
    copy = os.path.join(place.path, "models/one")
    named = [path for path in place.before if path.startswith(copy + "/") and not path.endswith("mine.txt")]
    yield from tree.losses(place.before, place.path, named)
    if outcome.returncode == 0:
        yield from (f"it was content, and {path} is there" for path in named if os.path.lexists(path))
    must(place.path, "recover", good=(0, 3))
    for model in must(place.path, "ls", "--files", "--json").json["models"]:
        for found in model["places"]:
            for revision in found["revisions"]:
                names = {file["name"] for file in revision["files"]}
                if found["path"] == copy and revision["state"] == "whole" and names != set(FILES):
                    yield f"the copy is called whole with {names}"
    yield from ours(place.path)
    must(place.path, *redundant(place.path))
    if os.listdir(copy) != ["mine.txt"]:
        yield f"the same command left {[path for path in named if os.path.lexists(path)]}"
    # Whatever went, each byte of it is in the cache.
    yield from tree.losses(place.before, place.path, named)
    yield from ours(place.path)


def redundant(place: str) -> tuple[str, ...]:
    return ("rm", "--redundant-copies", os.path.join(place, "models"), "-y")


@FAULTS
def test_rm_of_redundant_copies(tmp_path: Path, fault: str) -> None:
    """What no kill and no error may do: take a file whose other copy was not compared, or leave half a model."""

    def removing(points: list[Point]) -> list[Point]:
        first = min(i for i, point in enumerate(points) if "models/one" in point.text)
        # What the index writes afterwards is not counted the same twice.
        return [point for point in points[max(first - 4, 0) :] if "index.db" not in point.text]

    run(places(tmp_path, build_redundant), redundant, check_redundant, choose=removing, fault=fault)


@FAULTS
def test_rm_of_a_file(tmp_path: Path, fault: str) -> None:
    """No name dangles, what stays reads its bytes, and what a kill leaves is content that `clean` knows as unused."""
    arguments = ("rm", "org/one", "sub/tokenizer.bin", "-y")

    def build(place: str) -> None:
        hub = os.path.join(place, "hf/hub")
        tree.cache(hub, "org/one", {**FILES, "again.bin": FILES["model.safetensors"]}, ONE)
        tree.cache(hub, "org/two", {"same.bin": FILES["sub/tokenizer.bin"]}, TWO)
        enrol(place, hub)

    def check(place: Place, outcome: Outcome) -> Iterator[str]:
        snapshot = os.path.join(place.hub, "models--org--one/snapshots", ONE)
        name = os.path.join(snapshot, "sub/tokenizer.bin")
        blob = os.path.join(place.hub, "models--org--one/blobs", place.before[name].digest)
        yield from tree.losses(place.before, place.path, [name, blob])
        if os.path.lexists(name) and not os.path.exists(name):
            yield "its name leads nowhere"
        must(place.path, "recover", good=(0, 3))
        if os.path.lexists(name):
            must(place.path, *arguments)
        must(place.path, "clean", "--older-than", "0", "-y")
        yield from (f"{path} is still there" for path in (name, blob) if os.path.lexists(path))
        yield from tree.losses(place.before, place.path, [name, blob])
        yield from ours(place.path)

    run(places(tmp_path, build), lambda place: arguments, check, fault=fault, few=True)


@FAULTS
def test_rm_of_a_file_of_a_local_copy(tmp_path: Path, fault: str) -> None:
    """The file is there as it was, or is not and the copy says so; nothing else moves, and the same command ends it."""
    copy = "models/one"

    def build(place: str) -> None:
        build_copy(place)
        enrol(place, os.path.join(place, "models"))

    def arguments(place: str) -> tuple[str, ...]:
        return ("rm", os.path.join(place, copy), "*.bin", "-y")

    def check(place: Place, outcome: Outcome) -> Iterator[str]:
        top = os.path.join(place.path, copy)
        files = {name: os.path.join(top, name) for name in FILES}
        named = [path for name, path in files.items() if name.endswith(".bin")]
        yield from tree.losses(place.before, place.path, named)
        must(place.path, "recover", good=(0, 3))
        [model] = must(place.path, "ls", "--files", "--json").json["models"]
        [revision] = [found["revisions"][0] for found in model["places"] if found["path"] == top]
        gone = {name for name, path in files.items() if not os.path.exists(path)}
        if {file["name"] for file in revision["missing"]} & FILES.keys() != gone:
            yield f"{gone} is not there, and the copy says {revision['missing']}"
        if any(map(os.path.lexists, named)):
            must(place.path, *arguments(place.path))
        yield from (f"{path} is still there" for path in named if os.path.lexists(path))
        yield from tree.losses(place.before, place.path, named)
        yield from ours(place.path)

    run(places(tmp_path, build), arguments, check, fault=fault, few=True)


@FAULTS
def test_clean(tmp_path: Path, fault: str) -> None:
    def build(place: str) -> None:
        hub = os.path.join(place, "hf/hub")
        weights, tokens = tree.model("weights"), tree.model("tokens")
        tree.cache(hub, "org/one", {"old.bin": tree.model("old"), "same.bin": tokens}, ONE)
        tree.cache(hub, "org/one", {"new.bin": weights, "same.bin": tokens}, TWO)
        repo = os.path.join(hub, "models--org--one")
        tree.write(os.path.join(repo, "blobs", "c" * 64 + ".incomplete"), b"half of it")
        tree.write(os.path.join(hub, ".locks/models--org--one", "d" * 64 + ".lock"), b"")
        tree.write(os.path.join(hub, "models--org--none/refs/main"), ONE.encode())
        enrol(place, hub)

    def check(place: Place, outcome: Outcome) -> Iterator[str]:
        repo = os.path.join(place.hub, "models--org--one")
        old = place.before[os.path.join(repo, "snapshots", ONE, "old.bin")].digest
        named = [
            path
            for path, seen in place.before.items()
            if f"/{ONE}/" in path or seen.digest == old or path.endswith((".incomplete", ".lock"))
        ]
        named.append(os.path.join(place.hub, "models--org--none/refs/main"))
        yield from tree.losses(place.before, place.path, named)
        yield from lies(repo, place.before, {ONE: {"old.bin", "same.bin"}, TWO: {"new.bin", "same.bin"}})
        must(place.path, "clean", "--old-revisions", "--older-than", "0", "-y")
        for path in named:
            if os.path.lexists(path):
                yield f"{path} is still there"
        yield from tree.losses(place.before, place.path, named)
        yield from ours(place.path)

    arguments = ("clean", "--old-revisions", "--older-than", "0", "-y")
    run(places(tmp_path, build), lambda place: arguments, check, fault=fault)


@FAULTS
def test_restore(tmp_path: Path, fault: str) -> None:
    run(places(tmp_path, build_restore), restoring, check_restore, fault=fault)


@pytest.mark.parametrize("form", ["saved", "saved.tar"])
@FAULTS
def test_backup(tmp_path: Path, form: str, fault: str) -> None:
    def build(place: str) -> None:
        hub = os.path.join(place, "hf/hub")
        tree.cache(hub, "org/one", FILES, ONE)
        tree.cache(hub, "org/two", {"same.bin": FILES["model.safetensors"]}, TWO)
        enrol(place, hub)

    def arguments(place: str) -> tuple[str, ...]:
        return ("backup", os.path.join(place, form))

    def check(place: Place, outcome: Outcome) -> Iterator[str]:
        yield from tree.losses(place.before, place.path)
        target = os.path.join(place.path, form)
        if outcome.returncode == 0:
            yield from restored(place, "from the struck backup")
        again = must(place.path, *arguments(place.path), good=(0, 1))
        # A file that has its name is whole; it is not written again.
        if again.returncode == 1 and not (form == "saved.tar" and "is there already" in again.stderr):
            yield f"it cannot be gone on with: {again}"
        yield from restored(place, "in the end")
        yield from ours(place.path)
        if os.path.isdir(target) and os.path.lexists(os.path.join(target, ".hubfold-backup")):
            yield "the backup still counts as unfinished"

    def restored(place: Place, when: str) -> Iterator[str]:
        new = os.path.join(place.path, "new/hub")
        must(place.path, "restore", os.path.join(place.path, form), "--into", new, "-y")
        for path, was in place.before.items():
            if path.startswith(place.hub + "/"):
                path = path.replace(place.hub, new)
                if not os.path.exists(path) or tree.digest(path) != was.digest:
                    yield f"{path} is not in it {when}"
        shutil.rmtree(os.path.join(place.path, "new"))

    run(places(tmp_path, build), arguments, check, fault=fault, few=True)


@FAULTS
def test_scan(tmp_path: Path, fault: str) -> None:
    """Only the index is at stake: what comes of it afterwards is what comes of a scan in peace."""

    def arguments(place: str) -> tuple[str, ...]:
        return ("scan", *(os.path.join(place, name) for name in ("hf/hub", "models", "plain")))

    def planned(place: str) -> list[str]:
        report = must(place, "consolidate", *arguments(place)[1:], "--dry-run", "--json").json
        return sorted(f"{action['path']} -> {action['keeper']}" for action in report["actions"])

    found = places(tmp_path, tree.one_cache)
    expected = {place.path: planned(place.path) for place in found}
    assert all(expected.values())

    def check(place: Place, outcome: Outcome) -> Iterator[str]:
        yield from tree.differences(place.before, place.path)
        must(place.path, *arguments(place.path))
        if planned(place.path) != expected[place.path]:
            yield f"another plan came of it: {planned(place.path)}"
        yield from tree.differences(place.before, place.path)
        yield from ours(place.path)

    run(found, arguments, check, fault=fault, few=True)


@FAULTS
def test_download_of_what_is_here_already(tmp_path: Path, fault: str) -> None:
    with LoopbackHub() as hub:
        commit = hub.add("org/one", FILES)
        env = {**hub.environ(), "HF_HUB_OFFLINE": "0"}
        found = places(tmp_path, build_download, 1)  # the Hub's hits are counted by one at a time
        check = check_download(hub, commit, env)
        run(found, downloading, check, env=env, choose=placing, fault=fault)


def build_damaged(commit: str) -> Build:
    """A blob that is cut short, and its bytes in a folder of the user's."""

    def build(place: str) -> None:
        tree.write(os.path.join(place, "plain/copy.safetensors"), FILES["model.safetensors"])
        blobs = tree.cache(os.path.join(place, "hf/hub"), "org/one", FILES, commit)
        os.truncate(blobs["model.safetensors"], 100)
        must(place, "scan", os.path.join(place, "plain"), os.path.join(place, "hf/hub"))
        enrol(place, os.path.join(place, "plain"))

    return build


def check_damaged(commit: str, env: Mapping[str, str]) -> Check:
    def check(place: Place, outcome: Outcome) -> Iterator[str]:
        right, short = FILES["model.safetensors"], FILES["model.safetensors"][:100]
        link = Path(place.hub, "models--org--one/snapshots", commit, "model.safetensors")
        yield from tree.losses(place.before, place.path, [str(link), os.path.realpath(link)])
        if link.read_bytes() not in (right, short):
            yield "the damaged file reads neither what it read nor what it should"
        must(place.path, *downloading(place.path), env=env)
        if link.read_bytes() != right:
            yield "it was not put right"
        kept = [path.read_bytes() for path in Path(place.path).glob("**/replaced/*")]
        if short not in kept:
            yield "what was there is not kept"
        yield from tree.losses(place.before, place.path, [str(link), os.path.realpath(link)])
        yield from ours(place.path)

    return check


@FAULTS
def test_download_of_what_is_damaged(tmp_path: Path, fault: str) -> None:
    with LoopbackHub() as hub:
        commit = hub.add("org/one", FILES)
        env = {**hub.environ(), "HF_HUB_OFFLINE": "0"}
        found = places(tmp_path, build_damaged(commit), 1)
        run(found, downloading, check_damaged(commit, env), env=env, choose=placing, fault=fault, few=True)


def build_begun(place: str) -> None:
    """A download of org/one that was cut short a little before the end of its weights."""
    blobs = os.path.join(place, "hf/hub/models--org--one/blobs")
    data = FILES["model.safetensors"]
    name = f"{hashlib.sha256(data).hexdigest()}.1234abcd.incomplete"
    tree.write(os.path.join(blobs, name), data[:-4096])
    enrol(place, os.path.join(place, "hf/hub"))


@FAULTS
def test_download_of_what_was_begun(tmp_path: Path, fault: str) -> None:
    """What came stays, as a beginning or as the whole; what is called a blob has its bytes."""
    data = FILES["model.safetensors"]
    sha256 = hashlib.sha256(data).hexdigest()

    def check(place: Place, outcome: Outcome) -> Iterator[str]:
        blobs = Path(place.hub, "models--org--one/blobs")
        left = [path for path in blobs.glob(f"{sha256}*") if data.startswith(path.read_bytes())]
        if max((path.stat().st_size for path in left), default=0) < len(data) - 4096:
            yield "what was begun is lost"
        if (blobs / sha256).exists() and (blobs / sha256).read_bytes() != data:
            yield "a blob that is not what its name says"
        must(place.path, *downloading(place.path), env=env)
        [link] = Path(place.hub, "models--org--one/snapshots").glob("*/model.safetensors")
        if link.read_bytes() != data:
            yield "it did not come"
        yield from ours(place.path)

    def going_on(points: list[Point]) -> list[Point]:
        """From the lock to the file's name and its folder: what follows is the client's work."""
        first = min(number for number, point in enumerate(points) if '".locks"' in point.text)
        last = max(n for n, point in enumerate(points) if point.name == "renameat" and sha256 in point.text)
        return points[first : last + 2]

    with LoopbackHub() as hub:
        hub.add("org/one", FILES)
        env = {**hub.environ(), "HF_HUB_OFFLINE": "0"}
        found = places(tmp_path, build_begun, 1)
        run(found, downloading, check, env=env, choose=going_on, fault=fault, few=True)
