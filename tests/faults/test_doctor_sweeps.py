"""Kill `doctor --fix` before each call that changes something, and make each such call fail.

The place has one of each thing that can be mended. After each fault every path reads the bytes that it had or the right
ones, both whole, the changed bytes are still somewhere, `recover` leaves nothing of hubfold's own behind, and the same
command again comes to what the clean run came to.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from tests.building import tree

from .commands import command, enrol, must
from .filesystems import Mounts
from .power_cut import DiskStage, power_cuts
from .scenes import thinned
from .strace_sweep import (
    Failed,
    Outcome,
    Point,
    Stage,
    complaints,
    errors,
    kills,
    record,
    sweep,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strace")]

ALL = os.environ.get("HUBFOLD_FAULTS") == "all"
#: So many strikes of each sweep, or a few more, where it is not whole.
FEW = 6
ONE = "a" * 40
FILES = {
    f"{name}.safetensors": tree.model(name) for name in ("through", "dangling", "unnoted", "rotten", "short")
}
NEWER = tree.model("newer")
#: After every mtime that this test will see.
FAR = 4_102_444_800.0


@dataclass(slots=True)
class Place:
    stage: DiskStage
    #: What each path may read: before the repair, and after it.
    before: dict[str, str]
    after: dict[str, str]

    @property
    def path(self) -> str:
        return self.stage.place


def sick(place: str, *, copies: bool = True) -> None:
    """A cache with two local copies, folded; then all that can go wrong."""
    hub = os.path.join(place, "hf/hub")
    blobs = tree.cache(hub, "org/one", FILES)
    listing = {}
    for name, data in FILES.items():
        sha256 = hashlib.sha256(data).hexdigest()
        listing[name] = {"size": 0, "blob_id": "b" * 40, "lfs_sha256": sha256, "lfs_size": len(data)}
    text = json.dumps({"format_version": 1, "files": listing}).encode()
    tree.write(os.path.join(hub, "models--org--one/trees", f"{ONE}.json"), text)
    local = {
        name: data for name, data in FILES.items() if name.split(".")[0] in ("through", "dangling", "unnoted")
    }
    tree.local_dir(os.path.join(place, "models/one"), local)
    tree.local_dir(os.path.join(place, "models/two"), {"through.safetensors": FILES["through.safetensors"]})
    roots = [hub, os.path.join(place, "models/one"), os.path.join(place, "models/two")]
    enrol(place, *roots)
    must(place, "consolidate", *roots, "--link", "symlink", "-y")
    if copies:
        for name in ("through", "rotten", "short"):
            tree.write(os.path.join(place, f"drive/{name}.bin"), FILES[f"{name}.safetensors"])
        enrol(place, os.path.join(place, "drive"))
    # A client that updated the second copy wrote through its link, and noted the new revision.
    with open(os.path.join(place, "models/two/through.safetensors"), "r+b") as file:
        file.write(NEWER)
    metadata = os.path.join(place, "models/two/.cache/huggingface/download/through.safetensors.metadata")
    text = f"{ONE}\n{hashlib.sha256(NEWER).hexdigest()}\n{FAR}\n".encode()
    tree.write(metadata, text)
    os.unlink(os.path.realpath(os.path.join(place, "models/one/dangling.safetensors")))
    os.unlink(os.path.realpath(os.path.join(place, "models/one/unnoted.safetensors")) + ".links")
    rotten = blobs["rotten.safetensors"]
    st = os.stat(rotten)
    with open(rotten, "r+b") as file:
        file.write(b"rot")
    os.utime(rotten, ns=(st.st_atime_ns, st.st_mtime_ns))
    os.truncate(blobs["short.safetensors"], tree.MIB + 1)
    must(place, "verify", hub, good=(0, 3))
    # A run that a crash cut short: its journal has no end.
    runs = sorted(Path(place, tree.STATE, "runs").iterdir())
    lines = runs[-1].read_bytes().splitlines(keepends=True)
    assert b'"end"' in lines[-1]
    runs[-1].write_bytes(b"".join(lines[:-1]))


def readable(place: str) -> dict[str, str]:
    """What each path of the user's reads; "" for what leads nowhere."""
    found = {}
    for path in tree.files(place):
        relative = os.path.relpath(path, place)
        if "hubfold/" not in relative and "/.locks/" not in relative and ".hubfold-" not in relative:
            found[relative] = tree.digest(path) if os.path.exists(path) else ""
    return found


def contents(place: str) -> set[str]:
    return {tree.digest(path) for path in tree.files(place) if os.path.exists(path)}


def shape(place: str) -> dict[str, str]:
    """As `tree.shape`, but that kept bytes have the number of their inode in their name."""
    found = tree.shape(place)
    without = re.compile(r"(/replaced/[^ ]*)\.\d+$")
    return {
        without.sub(r"\1", path): without.sub(r"\1", how)
        for path, how in found.items()
        if ".locks" not in path
    }


def places(mounts: Mounts, build: Callable[[str], object], count: int = 2, disk: str = "ext4") -> list[Place]:
    """On images, since what was read of a file is known by its inode and its change time."""
    found = []
    for _ in range(count):
        stage = DiskStage(mounts, [mounts.image(disk)])
        build(stage.place)
        before = readable(stage.place)
        stage.save()
        found.append(Place(stage, before, {}))
    return found


def judged(
    place: Place, clean: dict[str, str], outcome: Outcome, fix: tuple[str, ...], env: dict[str, str]
) -> Iterator[str]:
    """What is wrong after a fault, after `recover`, and after the same command again."""
    if outcome.returncode not in (-9, 137):
        if "Traceback (most recent call last)" in outcome.stderr:
            yield f"a traceback: {outcome.stderr[-1500:]}"
        if outcome.returncode not in (0, 1, 3):
            yield f"it ended with {outcome.returncode}: {outcome.stderr[-500:]}"
        if outcome.returncode == 0:
            yield from different(shape(place.path), clean, "it said that all was mended: ", how=False)
    changed = {digest for path, digest in place.before.items() if digest != place.after[path]} - {""}
    for step in ("the fault", "recover", "the same command again"):
        if step == "recover":
            must(place.path, "recover")
            yield from leftovers(place.path)
            for run in must(place.path, "runs", "--json").json["runs"]:
                if run["state"] == "unfinished":
                    yield f"run {run['run']} is unfinished after recover"
        elif step == "the same command again":
            must(place.path, *fix, env=env)
        now = readable(place.path)
        for path, digest in place.before.items():
            allowed = {place.after[path]} if step == "the same command again" else {digest, place.after[path]}
            if now.get(path) not in allowed:
                yield f"after {step}, {path} reads other bytes"
        if lost := changed - contents(place.path):
            yield f"after {step}, changed bytes are lost: {lost}"
    yield from leftovers(place.path)
    # What a copy that could not be linked for an error was made from instead is no link: the bytes are right.
    yield from different(shape(place.path), clean, "in the end: ", how=outcome.returncode in (-9, 137))


def leftovers(place: str) -> Iterator[str]:
    for folder, folders, names in os.walk(place):
        for name in (*folders, *names):
            if name.startswith(".hubfold-") and name != ".hubfold-vault":
                yield f"{os.path.join(folder, name)} was left behind"


def different(now: dict[str, str], clean: dict[str, str], prefix: str, how: bool) -> Iterator[str]:
    """Paths that are there and should not be, or the other way round; with `how` also how they hang together."""
    for path in sorted(now.keys() | clean.keys()):
        if (now.get(path) != clean.get(path)) if how else ((path in now) != (path in clean)):
            yield f"{prefix}{path} is {now.get(path)} and was {clean.get(path)} after the clean run"


def struck(
    found: list[Place],
    fix: tuple[str, ...],
    fault: str,
    needs: set[str],
    env: dict[str, str] | None = None,
    choose: Callable[[list[Point]], list[Point]] = lambda points: points,
    few: int = FEW,
) -> None:
    def what(stage: Stage) -> object:
        return command(stage.place, *fix, env=env)

    points = choose(record(found[0].stage, what(found[0].stage)))  # type: ignore[arg-type]
    clean, after = shape(found[0].path), readable(found[0].path)
    for place in found:
        place.after = after
    assert needs <= {point.name for point in points} and not list(leftovers(found[0].path))
    by_path = {place.path: place for place in found}

    def judge(stage: Stage, outcome: Outcome) -> list[str]:
        problems: list[str] = []
        try:
            problems += judged(by_path[stage.place], clean, outcome, fix, env or {})
        except Failed as failed:
            problems.append(str(failed))
        return problems

    points = thinned(points, 3)
    if not ALL:
        step = max(1, len(points) // few)
        points = points[(0 if fault == "error" else step // 2) :: step]
    stages = [place.stage for place in found]
    if fault == "power":
        verdicts = power_cuts(stages, what, points, judge)  # type: ignore[arg-type]
    else:
        todo = kills(points) if fault == "kill" else errors(points, every=ALL)
        verdicts = sweep(stages, what, todo, judge)  # type: ignore[arg-type]
    print(f"{len(verdicts)} strikes, {sum(not verdict.hit for verdict in verdicts)} missed")
    assert len(verdicts) >= len(points) > 0
    if wrong := complaints(verdicts):
        pytest.fail(f"{len(wrong)} of {len(verdicts)} strikes:\n" + "\n".join(wrong), pytrace=False)


@pytest.mark.parametrize("fault", ["kill", "error"])
def test_doctor_fix(mounts: Mounts, fault: str) -> None:
    found = places(mounts, sick)
    struck(found, ("doctor", "--fix", "-y"), fault, {"linkat", "renameat2", "unlinkat", "fsync", "write"})
    right = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    for path, digest in found[0].after.items():
        if "snapshots" in path or ("models/one/" in path and ".cache" not in path):
            assert digest == right[os.path.basename(path)], path
    assert found[0].after["models/two/through.safetensors"] == hashlib.sha256(NEWER).hexdigest()


@pytest.mark.parametrize(("disk", "few"), [("ext4", 4), ("xfs", 2), ("btrfs", 2)])
def test_doctor_fix_in_a_power_cut(mounts: Mounts, disk: str, few: int) -> None:
    found = places(mounts, sick, 1 if few < 4 else 2, disk)
    struck(found, ("doctor", "--fix", "-y"), "power", {"fsync"}, few=few)


def leading_nowhere(place: str) -> None:
    """A blob that is gone, a link to where the cache was once, and a snapshot that was copied without its blobs."""
    hub, names = os.path.join(place, "hf/hub"), iter(FILES)
    missing, moved, copied = (next(names) for _ in range(3))
    blobs = tree.cache(hub, "org/one", {name: FILES[name] for name in (missing, moved, copied)})
    snapshot = os.path.join(hub, "models--org--one/snapshots", ONE)
    os.makedirs(os.path.join(place, "models/one"))
    os.symlink(os.readlink(os.path.join(snapshot, copied)), os.path.join(place, "models/one", copied))
    tree.write(os.path.join(place, "drive/w.bin"), FILES[missing])
    os.unlink(blobs[missing])
    os.unlink(os.path.join(snapshot, moved))
    os.symlink(f"/gone/blobs/{os.path.basename(blobs[moved])}", os.path.join(snapshot, moved))
    enrol(place, hub, os.path.join(place, "models"), os.path.join(place, "drive"))


@pytest.mark.parametrize("fault", ["kill", "error"])
def test_links_that_lead_nowhere(mounts: Mounts, fault: str) -> None:
    found = places(mounts, leading_nowhere)
    struck(found, ("doctor", "--fix", "-y"), fault, {"linkat", "renameat2", "unlinkat", "fsync", "symlinkat"})
    assert "" in found[0].before.values() and "" not in found[0].after.values()


@pytest.mark.parametrize("fault", ["kill", "error"])
def test_doctor_fix_download(mounts: Mounts, fault: str) -> None:
    """The same with no good copy of what was written through, is rotten or too short."""
    with LoopbackHub() as hub:
        hub.add("org/one", FILES)
        hub.tag("org/one", ONE, hub._repositories["model", "org/one"].refs["main"])
        env = {**hub.environ(), "HF_HUB_OFFLINE": "0"}

        def ours(points: list[Point]) -> list[Point]:
            """Of the calls in the private folder, which are the client's, a few."""
            client = [point for point in points if re.search(r"/\.hubfold-[\w-]+/", point.text)]
            few = set(client[:: max(1, len(client) // 4)])
            return [point for point in points if point not in client or point in few]

        found = places(mounts, lambda place: sick(place, copies=False))
        struck(
            found,
            ("doctor", "--fix", "--download", "-y"),
            fault,
            {"linkat", "renameat2", "unlinkat"},
            env,
            ours,
            FEW // 2,
        )
