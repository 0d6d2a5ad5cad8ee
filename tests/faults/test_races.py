"""Somebody else acts while hubfold does: what they did stays, and nobody's bytes are lost.

hubfold is held by strace on entering the call that would put a link in the place of a file, after it has compared the
two; what happens meanwhile is done by real programs.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, copy_of, hub_cache, local_dir, model_files, safetensors
from tests.building import tree
from tests.building.waiting import PATIENCE, until

from .commands import from_nothing, must
from .filesystems import Mounts
from .strace_sweep import Outcome, Window

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strace")]

EDITED = b"edited by hand" * 100_000


class Scene:
    """A tree on a real ext4 (leases and exchanges work there), folded while something happens."""

    def __init__(self, place: str, log: Path) -> None:
        self.place = place
        self.log = log
        self.tree = tree.one_cache(place)
        must(place, "scan", *self.tree.roots)
        self.before = tree.census(place)
        self.copy = os.path.join(place, "models/one/model.safetensors")
        self.blob = next(path for path in self.tree.keepers if tree.digest(path) == tree.digest(self.copy))

    def held(self, *options: str, call: str = "renameat2", number: int = 1) -> Window:
        argv = ("consolidate", *self.tree.roots, *options, "-y")
        window = Window(from_nothing(self.place, *argv), str(self.log), call, number)
        window.opened()
        return window

    def left_alone(self, outcome: Outcome, path: str, reason: str, but: tuple[str, ...] = ()) -> None:
        """The run says so of `path`, has the code for it, and everything else is whole."""
        assert outcome.returncode == 3, outcome.stderr
        assert path in outcome.stderr and reason in outcome.stderr, outcome.stderr
        assert "Traceback" not in outcome.stderr
        assert tree.losses(self.before, self.place, but) == []
        assert tree.leftovers(self.before, self.place) == []
        must(self.place, "recover")
        assert tree.losses(self.before, self.place, but) == []
        assert {run["state"] for run in must(self.place, "runs", "--json").json["runs"]} <= {"finished"}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(str(tmp_path / "tree"), tmp_path / "log")


LINKS = pytest.mark.parametrize("link", ["symlink", "hardlink"])


@LINKS
def test_a_file_saved_anew_between_compare_and_swap_stays(scene: Scene, link: str) -> None:
    window = scene.held("--link", link)
    os.replace(tree.write(scene.copy + ".new", EDITED), scene.copy)
    outcome = window.ended()
    assert Path(scene.copy).read_bytes() == EDITED and not os.path.islink(scene.copy)
    scene.left_alone(outcome, scene.copy, "changed while it was being replaced", (scene.copy,))


def writer_waits(path: str) -> bool:
    """Whether somebody who opens `path` for writing is kept waiting by a lease (proc_locks(5))."""
    inode = f":{os.stat(path).st_ino} "
    lines = Path("/proc/locks").read_text().splitlines()
    return any("BREAKING" in line and inode in line for line in lines)


@LINKS
def test_an_edit_in_place_waits_and_lands_in_its_own_file(scene: Scene, link: str) -> None:
    """The lease: a program that opens the file for writing waits until hubfold has let go of it."""

    def edit() -> None:
        with open(scene.copy, "r+b") as file:
            file.write(EDITED)

    window = scene.held("--link", link)
    writer = threading.Thread(target=edit)
    writer.start()
    until(lambda: writer_waits(scene.copy), "nobody waits for the lease")
    outcome = window.ended()
    writer.join(PATIENCE)
    assert Path(scene.copy).read_bytes().startswith(EDITED) and not os.path.islink(scene.copy)
    scene.left_alone(outcome, scene.copy, "changed while it was being replaced", (scene.copy,))


@LINKS
@pytest.mark.parametrize("how", ["open", "mmap"])
def test_a_file_that_somebody_can_write_to_is_left_alone(scene: Scene, link: str, how: str) -> None:
    with writable(scene.copy, how):
        window = scene.held("--link", link)
        outcome = window.ended()
    scene.left_alone(outcome, scene.copy, "a program has it open for writing")
    assert not os.path.islink(scene.copy) and not os.path.samefile(scene.copy, scene.blob)


@contextmanager
def writable(path: str, how: str) -> Iterator[None]:
    with open(path, "r+b") as file:
        if how == "mmap":
            mapped = mmap.mmap(file.fileno(), 0)
            file.close()
        yield
        if how == "mmap":
            mapped.close()


def test_a_file_swapped_for_a_symlink_is_left_to_its_new_target(scene: Scene, tmp_path: Path) -> None:
    other = tree.write(str(tmp_path / "elsewhere"), EDITED)
    window = scene.held()
    os.unlink(scene.copy)
    os.symlink(other, scene.copy)
    outcome = window.ended()
    assert os.readlink(scene.copy) == other and Path(other).read_bytes() == EDITED
    scene.left_alone(outcome, scene.copy, "changed while it was being replaced", (scene.copy,))


@pytest.mark.parametrize("planted", ["folder", "symlink"])
def test_a_swapped_parent_leads_nowhere(scene: Scene, tmp_path: Path, planted: str) -> None:
    """The folder of the file is moved away and another, or a symlink to one, stands in its place."""
    folder = os.path.dirname(scene.copy)
    outside = tree.write(str(tmp_path / "outside/model.safetensors"), EDITED)
    window = scene.held()
    os.rename(folder, folder + ".moved")
    if planted == "symlink":
        os.symlink(os.path.dirname(outside), folder)
    else:
        tree.write(scene.copy, EDITED)
    outcome = window.ended()
    assert outcome.returncode in (0, 3), outcome.stderr
    assert Path(outside).read_bytes() == EDITED and os.listdir(os.path.dirname(outside)) == [
        "model.safetensors"
    ]
    assert Path(scene.copy).read_bytes() == EDITED
    assert not os.path.islink(scene.copy)
    must(scene.place, "recover")
    moved = {path.replace("/models/one/", "/models/one.moved/"): seen for path, seen in scene.before.items()}
    assert tree.losses(moved, scene.place) == []
    assert not [name for _, _, names in os.walk(scene.place) for name in names if ".hubfold-2" in name]


@LINKS
def test_a_keeper_deleted_in_mid_run(scene: Scene, link: str) -> None:
    window = scene.held("--link", link)
    snapshots = tuple(path for path in scene.before if os.path.realpath(path) == scene.blob)
    os.unlink(scene.blob)
    outcome = window.ended()
    scene.left_alone(outcome, scene.copy, "the kept file", snapshots)


@pytest.mark.parametrize("link", ["symlink", "hardlink"])
def test_a_keeper_deleted_before_its_link_is_made(scene: Scene, link: str) -> None:
    window = scene.held("--link", link, call="symlinkat" if link == "symlink" else "linkat")
    snapshots = tuple(path for path in scene.before if os.path.realpath(path) == scene.blob)
    os.unlink(scene.blob)
    outcome = window.ended()
    assert outcome.returncode == 3 and scene.copy in outcome.stderr
    assert tree.losses(scene.before, scene.place, snapshots) == []
    assert tree.leftovers(scene.before, scene.place) == []


# -- two at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["consolidate", "undo", "gc", "recover"])
def test_a_second_run_says_which_one_is_at_work(scene: Scene, second: str) -> None:
    if second == "undo":
        scene_file = tree.write(os.path.join(scene.place, "plain/third.safetensors"), tree.model("weights"))
        must(scene.place, "consolidate", *scene.tree.roots, "-y")
        tree.write(scene_file.replace("third", "fourth"), tree.model("weights"))
        scene.before = tree.census(scene.place)
    window = scene.held()
    argv = {"consolidate": ("consolidate", *scene.tree.roots, "-y"), "recover": ("recover",)}
    ran = must(scene.place, *argv.get(second, (second, "-y")), good=(4,))
    assert "consolidate" in ran.stderr and "process" in ran.stderr
    assert window.ended().returncode == 0
    assert (
        tree.losses(
            {path: seen for path, seen in scene.before.items() if "/hubfold/" not in path}, scene.place
        )
        == []
    )


# -- the real client -------------------------------------------------------------------------------------------------

HOLD = """
import sys
from huggingface_hub.utils import WeakFileLock
with WeakFileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_of_a_running_download_is_respected(tmp_path: Path) -> None:
    place = str(tmp_path / "tree")
    built = tree.two_caches(place)
    before = tree.census(place)
    second = built.roots[1]
    blob = os.path.join(second, "models--org--one/blobs", os.path.basename(built.keepers[0]))
    lock = os.path.join(second, ".locks/models--org--one", os.path.basename(blob) + ".lock")
    os.makedirs(os.path.dirname(lock))
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None and client.stdout.readline() == "held\n"
        ran = must(place, "consolidate", *built.roots, "-y", good=(3,))
        assert blob in ran.stderr and f"another program holds {lock}" in ran.stderr
        assert os.lstat(blob).st_nlink == 1
        assert client.stdin is not None
        client.stdin.close()
    assert tree.losses(before, place) == []
    must(place, "consolidate", *built.roots, "-y")
    assert os.lstat(blob).st_nlink == 2
    assert tree.losses(before, place) == []


def test_a_download_into_the_same_repo_during_consolidate(tmp_path: Path, loopback_hub: LoopbackHub) -> None:
    """The client fetches a newer revision into the repo whose old one is being folded."""
    folder = tmp_path / "place"
    folder.mkdir()
    place = str(folder)
    loopback_hub.add("org/base", model_files("base"))
    made = Tree(folder, loopback_hub, sys.executable).build(
        {
            "hf/hub": hub_cache("org/base"),
            "project/cache": hub_cache("org/base"),
            "models/base": local_dir("org/base"),
            "plain/copy.safetensors": copy_of("models/base/model.safetensors"),
        }
    )
    roots = [str(made[name]) for name in ("hf/hub", "project/cache", "models", "plain")]
    before = tree.census(place)
    newer = {**model_files("base"), "model.safetensors": safetensors("newer")}
    loopback_hub.add("org/base", newer)
    for number in (1, 2, 3):
        window = Window(
            from_nothing(place, "consolidate", *roots, "-y"), str(tmp_path / "log"), "renameat2", number
        )
        window.opened()
        loopback_hub.forget_hits()
        client = threading.Thread(
            target=lambda: [made.sync(name) for name in ("project/cache", "models/base")]
        )
        client.start()
        # It may have to wait for a lock that the run holds.
        until(lambda: any(hit.filename for hit in loopback_hub.hits), "the client did not ask for a file")
        outcome = window.ended()
        client.join(PATIENCE)
        assert outcome.returncode in (0, 3), outcome.stderr
        snapshots = sorted((made["project/cache"] / "models--org--base/snapshots").iterdir())
        contents = {snapshot.joinpath("model.safetensors").read_bytes() for snapshot in snapshots}
        assert contents == {model_files("base")["model.safetensors"], newer["model.safetensors"]}
        assert made["models/base"].joinpath("model.safetensors").read_bytes() == newer["model.safetensors"]
        kept = {
            path: seen
            for path, seen in before.items()
            if "/models/base/" not in path and "/refs/" not in path
        }
        assert [
            text for text in tree.losses(kept, place) if ".locks" not in text and "/trees/" not in text
        ] == []
        must(place, "undo", "-y", good=(0, 1))
        break


def test_a_swap_without_exchange_of_names(mounts: Mounts, tmp_path: Path) -> None:
    """Where the exchange is refused, a second name keeps the displaced file until the link is in place."""
    scene = Scene(mounts.image("ext4").path, tmp_path / "log")
    argv = ("consolidate", *scene.tree.roots, "-y")
    inject = [
        "strace",
        "-f",
        "-qq",
        "-o",
        str(tmp_path / "log"),
        "-e",
        "trace=renameat2",
        "-e",
        "inject=renameat2:error=EINVAL",
    ]
    what = from_nothing(scene.place, *argv)
    done = subprocess.run(
        [*inject, *what.argv], env=what.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "INJECTED" in (tmp_path / "log").read_text()
    assert os.path.islink(scene.copy)
    assert tree.losses(scene.before, scene.place) == []
    assert tree.leftovers(scene.before, scene.place) == []
    must(scene.place, "undo", "-y")
    must(scene.place, "gc", "-y")
    assert tree.differences(scene.before, scene.place) == []
