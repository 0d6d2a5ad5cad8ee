"""Places in which models are on their way (`rm`, `restore`, `download`), or a vault has moved, and the verdict on each
after a fault: for the sweeps by strace and the power cuts alike."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hubfold.disk.paths import plain
from hubfold.testing.loopback_hub import LoopbackHub
from tests.building import tree

from .commands import enrol, must
from .strace_sweep import Outcome, Point, Stage

ONE, TWO = "a" * 40, "b" * 40
FILES = {"model.safetensors": tree.model("weights"), "sub/tokenizer.bin": tree.model("tokens")}


@dataclass(slots=True)
class Place:
    """A folder with a cache in it, and what everything in it read before the command came."""

    stage: Stage
    before: dict[str, tree.Seen]

    @property
    def path(self) -> str:
        return self.stage.place

    @property
    def hub(self) -> str:
        return os.path.join(self.path, "hf/hub")


Build = Callable[[str], object]
Check = Callable[[Place, Outcome], Iterator[str]]


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


def build_download(place: str) -> None:
    tree.write(os.path.join(place, "plain/copy.safetensors"), FILES["model.safetensors"])
    tree.cache(os.path.join(place, "hf/hub"), "org/other", {"t.bin": FILES["sub/tokenizer.bin"]}, TWO)
    enrol(place, os.path.join(place, "plain"), os.path.join(place, "hf/hub"))


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


#: Links whose vault moved.
FIX = ("doctor", "--fix", "-y")
COPIES = ("models/a/m.safetensors", "models/b/m.safetensors", "models/c/m.safetensors")


def build_moved_vault(place: str) -> None:
    for copy in COPIES:
        tree.write(os.path.join(place, copy), FILES["model.safetensors"])
    hf, moved = os.path.join(place, "hf"), os.path.join(place, "disk/hf")
    tree.cache(os.path.join(hf, "hub"), "org/one", {"model.safetensors": FILES["model.safetensors"]}, ONE)
    roots = [os.path.join(hf, "hub"), os.path.join(place, "models")]
    enrol(place, *roots)
    must(place, "consolidate", *roots, "--link", "symlink", "-y")
    os.mkdir(os.path.dirname(moved))
    os.rename(hf, moved)
    must(place, "roots", "add", os.path.join(moved, "hub"))
    must(place, "scan", good=(0, 3))


def check_moved_vault(place: Place, outcome: Outcome) -> Iterator[str]:
    """Each link reads the object or dangles as it did; the command again ends it, and undo gives the old texts back."""
    copies = [os.path.join(place.path, copy) for copy in COPIES]

    def reading() -> list[str]:
        return [copy for copy in copies if os.path.exists(copy)]

    def wrong(when: str) -> Iterator[str]:
        lists = [path for path in place.before if path.endswith(".links")]
        yield from (f"{when}: {loss}" for loss in tree.losses(place.before, place.path, lists))
        for copy in copies:
            if not os.path.islink(copy):
                yield f"{when}: {copy} is no link any more"
            elif os.path.exists(copy) and Path(copy).read_bytes() != FILES["model.safetensors"]:
                yield f"{when}: {copy} reads other bytes"

    yield from wrong("before recover")
    must(place.path, "recover", good=(0, 3))
    yield from wrong("after recover")
    yield from ours(place.path)
    must(place.path, *FIX)
    yield from wrong("in the end")
    yield from (f"{copy} still dangles" for copy in copies if copy not in reading())
    for _ in range(2):  # one run for what the struck command did, one for the rest
        if reading():
            must(place.path, "undo", "-y")
    yield from wrong("after undo")
    yield from (f"{copy} has not its old text again" for copy in reading())
    yield from ours(place.path)


def build_adopt(place: str) -> None:
    """A download beside the cache: weights that are shared, a small file that is copied."""
    folder = os.path.join(place, "models/one")
    tree.local_dir(folder, ADOPTED, ONE)
    os.makedirs(os.path.join(place, "hf/hub"))
    enrol(place, os.path.join(place, "models"))


#: As the adopted folder and its snapshot have it: a large file, and one that is too small to be shared.
ADOPTED = {"model.safetensors": tree.model("weights"), "sub/tokenizer.bin": b"tokens"}


def adopting(place: str) -> tuple[str, ...]:
    return (
        *("adopt", os.path.join(place, "models/one"), "--repo", "org/one"),
        *("--into", os.path.join(place, "hf/hub"), "-y"),
    )


def check_adopt(place: Place, outcome: Outcome) -> Iterator[str]:
    """The folder is whole, nothing looks whole that is not, the same command ends it, and `undo` takes it all back."""
    repo = os.path.join(place.hub, "models--org--one")
    folder = os.path.join(place.path, "models/one")
    yield from tree.losses(place.before, place.path)
    seen = {
        path.replace(folder, os.path.join(repo, "snapshots", ONE)): one for path, one in place.before.items()
    }
    expected = {ONE: set(ADOPTED)}
    yield from lies(repo, seen, expected)
    must(place.path, "recover", good=(0, 3))
    yield from lies(repo, seen, expected)
    yield from ours(place.path)
    must(place.path, *adopting(place.path))
    for name, data in ADOPTED.items():
        path = os.path.join(repo, "snapshots", ONE, name)
        if not os.path.exists(path) or Path(path).read_bytes() != data:
            yield f"{name} was not adopted"
    yield from undone(place, repo)


def undone(place: Place, repo: str) -> Iterator[str]:
    """Every run taken back: the folder as it was, mode and time too, and nothing left of the model."""
    for run in must(place.path, "runs", "--json").json["runs"]:
        if run["state"] != "undone" and run["command"] == "adopt":
            must(place.path, "undo", run["run"], "-y")
    yield from tree.losses(place.before, place.path)
    for path, was in place.before.items():
        if path.startswith(os.path.join(place.path, "models/")):
            now = os.lstat(path)
            if (stat.S_IMODE(now.st_mode), now.st_nlink) != (was.mode, 1):
                yield f"{path} has mode {now.st_mode:o} and {now.st_nlink} names after undo, was {was.mode:o}"
    yield from (f"{path} is left after undo" for path in tree.files(repo) if os.path.isdir(repo))
    yield from ours(place.path)


def build_migrate(place: str) -> None:
    """A cache of two models that share a content, and one of the second's revisions in the other cache already, which
    its ref names: an older one."""
    old = os.path.join(place, "old/hub")
    tree.cache(old, "org/one", ADOPTED, ONE)
    tree.cache(old, "org/two", {"same.bin": ADOPTED["model.safetensors"]}, TWO)
    tree.cache(os.path.join(place, "hf/hub"), "org/two", {"small.bin": b"there"}, "c" * 40)
    os.utime(_ref(os.path.join(place, "hf/hub")), ns=(tree.OLD_NS, tree.OLD_NS - 10**9))
    enrol(place, old, os.path.join(place, "hf/hub"))


def _ref(cache: str) -> str:
    return os.path.join(cache, "models--org--two/refs/main")


def migrating(place: str, how: str) -> tuple[str, ...]:
    return ("migrate", os.path.join(place, "old/hub"), os.path.join(place, "hf/hub"), "--how", how, "-y")


def check_migrate(how: str) -> Check:
    def check(place: Place, outcome: Outcome) -> Iterator[str]:
        old = os.path.join(place.path, "old/hub")
        seen = {path.replace(old, place.hub): one for path, one in place.before.items()}
        named = [path for path in place.before if path.startswith(old + "/")] if how == "move" else []
        ref = _ref(place.hub)
        # Right after a kill a link may be gone whose content is not: it is in the other cache.
        expected = {ONE: set(ADOPTED), TWO: {"same.bin"}, "c" * 40: {"small.bin"}}

        def judged() -> Iterator[str]:
            yield from tree.losses(place.before, place.path, [*named, ref])
            with open(ref) as file:
                if (now := file.read()) not in (TWO, "c" * 40):
                    yield f"{ref} says {now!r}"
            for cache in (old, place.hub):
                for repo in ("models--org--one", "models--org--two"):
                    yield from lies(os.path.join(cache, repo), {**place.before, **seen}, expected)
            for commit, names in (("one", ADOPTED), ("two", {"same.bin": b""})):
                for name in names:
                    within = f"models--org--{commit}/snapshots/{ONE if commit == 'one' else TWO}/{name}"
                    if not any(os.path.exists(os.path.join(cache, within)) for cache in (old, place.hub)):
                        yield f"{within} is in neither cache"

        yield from judged()
        must(place.path, "recover", good=(0, 3))
        yield from judged()
        yield from ours(place.path)
        must(place.path, *migrating(place.path, how))
        yield from judged()
        for repo in ("models--org--one", "models--org--two"):
            if not os.path.isdir(os.path.join(place.hub, repo, "snapshots")):
                yield f"{repo} was not migrated"
        with open(ref) as file:
            if file.read() != TWO:
                yield f"{ref} does not name the newer commit"
        yield from ours(place.path)

    return check
