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
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubfold.disk.paths import plain
from hubfold.testing.loopback_hub import LoopbackHub
from tests.building import tree

from .commands import command, enrol, must
from .scenes import thinned
from .strace_sweep import CopyStage, Failed, Outcome, Point, Stage, complaints, errors, kills, record, sweep

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strace")]

ALL = os.environ.get("HUBFOLD_FAULTS") == "all"
FAULTS = pytest.mark.parametrize("fault", ("kill", "error"))
#: Strikes of a sweep by errors, and of those that came later: they share the time that the tier has.
FEW = 5
ONE, TWO = "a" * 40, "b" * 40
FILES = {"model.safetensors": tree.model("weights"), "sub/tokenizer.bin": tree.model("tokens")}


@dataclass(slots=True)
class Place:
    """A folder with a cache in it, and what everything in it read before the command came."""

    stage: CopyStage
    before: dict[str, tree.Seen]

    @property
    def path(self) -> str:
        return self.stage.place

    @property
    def hub(self) -> str:
        return os.path.join(self.path, "hf/hub")


Build = Callable[[str], object]
Check = Callable[[Place, Outcome], Iterator[str]]


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


def told(outcome: Outcome) -> Iterator[str]:
    """A command that met an error ends as commands do, and says what it could not do."""
    if "Traceback" in outcome.stderr or "unexpected" in outcome.stderr:
        yield f"it fell over: {outcome.stderr[-1500:]}"
    if outcome.returncode not in (0, -9, 137):
        if outcome.returncode not in (1, 3):
            yield f"it ended with {outcome.returncode}: {outcome.stderr[-500:]}"
        elif not outcome.stderr.strip():
            yield f"it ended with {outcome.returncode} and said nothing"


def lies(repo: str, before: dict[str, tree.Seen], expected: dict[str, set[str]]) -> Iterator[str]:
    """Revisions that a client would be given and that are not whole, and refs that name none."""
    snapshots = os.path.join(repo, "snapshots")
    for commit in os.listdir(snapshots) if os.path.isdir(snapshots) else ():
        if commit not in expected:
            yield f"a strange revision {commit}"
            continue
        for name in expected[commit]:
            path = os.path.join(snapshots, commit, name)
            if not os.path.exists(path):
                yield f"{commit[:4]} is there without {name}"
            elif before and tree.digest(path) != before[plain(path)].digest:
                yield f"{commit[:4]}/{name} reads other bytes"
    ref = os.path.join(repo, "refs/main")
    if os.path.exists(ref) and not os.path.isdir(os.path.join(snapshots, Path(ref).read_text())):
        yield "main names a revision that is not there"


def ours(place: str) -> Iterator[str]:
    for path in tree.files(place):
        if any(part.startswith(".hubfold-") and part != ".hubfold-vault" for part in path.split("/")):
            yield f"{path} was left behind"


RM = ("rm", "org/one", "-y")


def build_rm(place: str) -> None:
    made = tree.one_cache(place)
    tree.cache(os.path.join(place, "hf/hub"), "org/two", {"same.bin": tree.model("weights")}, TWO)
    enrol(place, *made.roots)
    must(place, "consolidate", *made.roots, "-y")


def check_rm(place: Place, outcome: Outcome) -> Iterator[str]:
    repo = os.path.join(place.hub, "models--org--one")
    behind = os.path.join(place.path, "large/one/")
    named = [path for path in place.before if path == repo or path.startswith((repo + "/", behind))]
    yield from tree.losses(place.before, place.path, named)
    yield from lies(repo, place.before, {ONE: {"model.safetensors", "sub/tokenizer.bin"}})
    if outcome.returncode == 0:
        yield from (f"rm was content, and {path} is there" for path in named if os.path.lexists(path))
    must(place.path, "rm", "org/one", "-y", good=(0, 1))
    if os.path.lexists(repo):
        yield f"something is left of {repo}: {os.listdir(repo)}"
    yield from tree.losses(place.before, place.path, named)
    yield from ours(place.path)


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


def test_rm_of_a_local_copy(tmp_path: Path) -> None:
    """Its notes go in one rename, so no kill leaves a part of the copy that is taken for a smaller whole; and the same
    command ends what a kill cut short."""

    def build(place: str) -> None:
        tree.cache(
            os.path.join(place, "hf/hub"), "org/one", {"model.safetensors": tree.model("weights")}, ONE
        )
        copy = os.path.join(place, "models/one")
        for name, data in FILES.items():
            path = os.path.join(copy, name)
            tree.write(path, data)
            os.utime(path, (1_700_000_000, 1_700_000_000))
            note = os.path.join(copy, ".cache/huggingface/download", f"{name}.metadata")
            tree.write(note, f"{ONE}\n{hashlib.sha256(data).hexdigest()}\n1700000001.0\n".encode())
        tree.write(os.path.join(copy, "mine.txt"), b"mine")
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


def build_restore(place: str) -> None:
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", FILES, ONE)
    tree.cache(hub, "org/two", {"same.bin": FILES["model.safetensors"]}, TWO)
    enrol(place, hub)
    must(place, "backup", os.path.join(place, "saved"))


def restoring(place: str) -> tuple[str, ...]:
    return ("restore", os.path.join(place, "saved"), "--into", os.path.join(place, "new/hub"), "-y")


def check_restore(place: Place, outcome: Outcome) -> Iterator[str]:
    new = os.path.join(place.path, "new/hub")
    expected = {ONE: set(FILES), TWO: {"same.bin"}}
    seen = {path.replace(place.hub, new): one for path, one in place.before.items()}
    yield from tree.losses(place.before, place.path)
    for repo in ("models--org--one", "models--org--two"):
        yield from lies(os.path.join(new, repo), seen, expected)
    must(place.path, *restoring(place.path))
    for path, was in place.before.items():
        if path.startswith(place.hub + "/"):
            path = path.replace(place.hub, new)
            if not os.path.exists(path) or tree.digest(path) != was.digest:
                yield f"{path} was not restored"
    yield from ours(place.path)


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


def build_download(place: str) -> None:
    tree.write(os.path.join(place, "plain/copy.safetensors"), FILES["model.safetensors"])
    tree.cache(os.path.join(place, "hf/hub"), "org/other", {"t.bin": FILES["sub/tokenizer.bin"]}, TWO)
    must(place, "scan", os.path.join(place, "plain"), os.path.join(place, "hf/hub"))


def downloading(place: str) -> tuple[str, ...]:
    return ("download", "org/one", "--into", os.path.join(place, "hf/hub"), "-y")


def check_download(hub: LoopbackHub, commit: str, env: Mapping[str, str]) -> Check:
    def check(place: Place, outcome: Outcome) -> Iterator[str]:
        from huggingface_hub import snapshot_download

        yield from tree.losses(place.before, place.path)
        repo = os.path.join(place.hub, "models--org--one")
        blobs = os.path.join(repo, "blobs")
        for name in os.listdir(blobs) if os.path.isdir(blobs) else ():
            if len(name) == 64 and tree.digest(os.path.join(blobs, name)) != name:
                yield f"{name} is not what it says"
        hub.forget_hits()
        must(place.path, *downloading(place.path), env=env)
        if hub.downloads(1 << 19):
            yield "a file that was here was downloaded"
        folder = snapshot_download("org/one", cache_dir=place.hub, local_files_only=True)
        if os.path.basename(folder) != commit:
            yield f"the client was given {folder}"
        for name, data in FILES.items():
            if Path(folder, name).read_bytes() != data:
                yield f"{name} reads other bytes"
        yield from tree.losses(place.before, place.path)
        yield from ours(place.path)

    return check


def placing(points: list[Point]) -> list[Point]:
    """Up to the last call on a name of hubfold's own: what follows is the client's work."""
    last = max(i for i, point in enumerate(points) if ".hubfold-" in point.text)
    return points[: last + 1]


@FAULTS
def test_download_of_what_is_here_already(tmp_path: Path, fault: str) -> None:
    with LoopbackHub() as hub:
        commit = hub.add("org/one", FILES)
        env = {**hub.environ(), "HF_HUB_OFFLINE": "0"}
        found = places(tmp_path, build_download, 1)  # the Hub's hits are counted by one at a time
        check = check_download(hub, commit, env)
        run(found, downloading, check, env=env, choose=placing, fault=fault)
