"""The walk on real trees: what it visits, what it stays out of, what it says when it cannot read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest

from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.contract import Folder, StorageBackend
from hubfold.content import VAULT_MARKER, Root, Signature
from hubfold.disk.paths import within
from hubfold.errors import Interrupted
from hubfold.progress import Stop
from hubfold.scanning import walk as walk_module
from hubfold.scanning.walk import Listed, Shared, TreeWalk
from tests.building.descriptors import open_descriptors


class Remembered:
    """A memory as the index is one, in a dict."""

    told_by = b""

    def __init__(self) -> None:
        self.fingerprints: dict[str, bytes] = {}
        self.rows: dict[str, dict[str, Signature]] = {}
        self.last: list[Listed] = []

    def fingerprint(self, folder: str) -> bytes | None:
        return self.fingerprints.get(folder)

    def signatures(self, folder: str) -> Mapping[str, Signature]:
        return self.rows.get(folder, {})

    def listed(self, folder: Listed) -> None:
        self.fingerprints[folder.path] = folder.fingerprint
        self.last.append(folder)

    def keep(self, folders: list[Folder]) -> None:
        for folder in folders:
            for name, st in folder.files:
                self.rows.setdefault(folder.path, {})[name] = Signature.of(st)


class Marked(StorageBackend):
    """Recognises a folder with the file `marker`; from above, one with a sub-folder `inner` that has it."""

    name = "marked"

    @classmethod
    def recognise(cls, path: str, names: object) -> str | None:
        if os.path.exists(os.path.join(path, "marker")):
            return path
        inner = os.path.join(path, "inner")
        return inner if os.path.exists(os.path.join(inner, "marker")) else None


class Plain(StorageBackend):
    name = "plain"


BACKENDS = {"plain": GuardedBackend(Plain()), "marked": GuardedBackend(Marked())}


def walk_of(path: Path, shared: Shared | None = None, **options: object) -> TreeWalk:
    return TreeWalk(Root(str(path), "plain"), BACKENDS, shared, **options)  # type: ignore[arg-type]


def make(folder: Path, *paths: str) -> None:
    for path in paths:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.encode())


def seen(walk: TreeWalk, path: Path) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(folder.path, name), path)
        for folder in walk.folders(str(path))
        for name, _ in folder.files
    )


def test_every_regular_file_once_and_no_link_is_followed(tmp_path: Path) -> None:
    make(tmp_path, "a", "b/c", "b/d/e")
    (tmp_path / "b/loop").symlink_to(tmp_path)
    (tmp_path / "file-link").symlink_to("a")
    os.mkfifo(tmp_path / "fifo")
    walk = walk_of(tmp_path)
    folders = {os.path.relpath(folder.path, tmp_path): folder for folder in walk.folders(str(tmp_path))}
    assert set(folders) == {".", "b", "b/d"}
    assert [name for name, _ in folders["."].files] == ["a"]
    assert folders["."].links == ["file-link"]
    assert set(folders["."].names) == {"a", "b", "fifo", "file-link"}
    assert folders["b"].links == ["loop"]
    assert not walk.warnings


def test_what_the_kernel_shows_as_files_is_left_out() -> None:
    visited = set()
    for folder in walk_of(Path("/")).folders("/"):
        visited.add(folder.path)
        if folder.path != "/":
            folder.folders.clear()
    assert "/usr" in visited
    assert visited.isdisjoint({"/proc", "/sys", "/dev"})


def test_a_caller_may_keep_the_walk_out_of_folders(tmp_path: Path) -> None:
    make(tmp_path, "in/a", "out/b")
    paths = []
    for folder in walk_of(tmp_path).folders(str(tmp_path)):
        paths.append(os.path.basename(folder.path))
        folder.folders[:] = [name for name in folder.folders if name != "out"]
    assert paths == [tmp_path.name, "in"]


def test_what_is_hubfolds_own_is_no_content(tmp_path: Path) -> None:
    make(
        tmp_path,
        "a",
        ".hubfold-123-b",
        ".hubfold/objects/aa/c",
        "hubfold/objects/aa/d",
        f"hubfold/{VAULT_MARKER}",
    )
    make(tmp_path, "users/hubfold/objects/e")
    assert seen(walk_of(tmp_path), tmp_path) == ["a", "users/hubfold/objects/e"]


def test_a_vault_can_be_walked_as_a_root(tmp_path: Path) -> None:
    make(tmp_path, ".hubfold/objects/aa/object", f".hubfold/{VAULT_MARKER}")
    vault = tmp_path / ".hubfold"
    assert seen(walk_of(vault), vault) == ["objects/aa/object"]


def test_sub_trees_of_another_backend_are_handed_over(tmp_path: Path) -> None:
    make(tmp_path, "a", "b/marker", "b/deep/c", "home/inner/marker", "home/inner/d", "home/e")
    found: list[tuple[str, str]] = []
    shared = Shared(lambda name, path: found.append((name, os.path.relpath(path, tmp_path))))
    walk = walk_of(tmp_path, shared)
    assert seen(walk, tmp_path) == ["a", "home/e"]
    assert sorted(found) == [("marked", "b"), ("marked", "home/inner")]


def test_roots_of_their_own_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a", "b/c", "bb/d")
    assert seen(walk_of(tmp_path, boundaries=[str(tmp_path / "b"), str(tmp_path)]), tmp_path) == ["a", "bb/d"]


def test_an_unchanged_folder_hands_over_nothing_and_a_changed_one_what_changed(tmp_path: Path) -> None:
    make(tmp_path, "same/a", "same/b", "edited/c", "edited/d", "gone/e", "gone/f")
    memory = Remembered()
    memory.keep(list(walk_of(tmp_path, memory=memory).folders(str(tmp_path))))
    make(tmp_path, "edited/new")
    (tmp_path / "edited/c").write_bytes(b"other")
    (tmp_path / "gone/e").unlink()
    memory.last.clear()
    walk = walk_of(tmp_path, memory=memory)
    assert seen(walk, tmp_path) == ["edited/c", "edited/new"]
    assert walk.unchanged == 4
    stale = {os.path.basename(listed.path): set(listed.stale) for listed in memory.last}
    assert stale == {tmp_path.name: set(), "same": set(), "edited": {"c"}, "gone": {"e"}}
    assert {os.path.basename(listed.path) for listed in memory.last if listed.same} == {tmp_path.name, "same"}


@pytest.mark.parametrize("change", ["size", "mtime", "inode", "mode", "name"])
def test_every_part_of_a_signature_counts(tmp_path: Path, change: str) -> None:
    make(tmp_path, "a")
    memory = Remembered()
    memory.keep(list(walk_of(tmp_path, memory=memory).folders(str(tmp_path))))
    path = tmp_path / "a"
    st = path.stat()
    if change == "size":
        path.write_bytes(b"longer")
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    elif change == "mtime":
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns + 1))
    elif change == "inode":
        shutil.copy2(path, tmp_path / "b")
        os.replace(tmp_path / "b", path)
    elif change == "mode":
        path.chmod(0o400)
    else:
        path.rename(tmp_path / "b")
    assert len(seen(walk_of(tmp_path, memory=memory), tmp_path)) == 1


def test_a_flat_folder_of_very_many_files_comes_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk_module, "PART", 500)
    for number in range(510):
        (tmp_path / str(number)).touch()
    parts = [len(folder.files) for folder in walk_of(tmp_path).folders(str(tmp_path))]
    assert parts == [500, 10]


@pytest.mark.slow
def test_a_tree_deeper_than_any_recursion(tmp_path: Path) -> None:
    depth = sys.getrecursionlimit() + 200
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    walk = walk_of(tmp_path)
    try:
        assert sum(1 for _ in walk.folders(str(tmp_path))) == depth + 1
        assert not walk.warnings
    finally:
        # pytest removes old folders by recursion, and would end in a traceback of its own at a later run.
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_a_path_longer_than_the_kernel_takes_is_told(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=here)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    walk = walk_of(tmp_path)
    list(walk.folders(str(tmp_path)))
    assert [warning.message for warning in walk.warnings] == ["cannot be read: File name too long"]
    assert walk.failed


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_bind_mount_is_visited_once(tmp_path: Path) -> None:
    make(tmp_path, "a/b/file")
    (tmp_path / "again").mkdir()
    if subprocess.run(
        ["mount", "--bind", tmp_path / "a", tmp_path / "again"], capture_output=True
    ).returncode:
        pytest.skip("bind mounts do not work here")
    try:
        assert seen(walk_of(tmp_path), tmp_path) == ["a/b/file"]
    finally:
        subprocess.run(["umount", tmp_path / "again"], check=True)


def test_few_descriptors_are_enough(tmp_path: Path) -> None:
    make(tmp_path, *(f"{'d/' * depth}file" for depth in range(60)))

    def below() -> int:
        return sum(to.startswith(str(tmp_path)) for _, to in open_descriptors())

    assert max(below() for _ in walk_of(tmp_path).folders(str(tmp_path))) <= 1


@pytest.mark.slow
def test_memory_does_not_grow_with_the_tree(tmp_path: Path) -> None:
    def peak(folders: int, base: Path) -> int:
        make(base, *(f"{number}/{file}" for number in range(folders) for file in range(10)))
        tracemalloc.start()
        for _ in walk_of(base).folders(str(base)):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = peak(50, tmp_path / "few"), peak(500, tmp_path / "many")
    assert (many - few) / 4500 < 100, "bytes a file"


def test_it_stops_when_it_is_asked_to(tmp_path: Path) -> None:
    make(tmp_path, "a/b", "c/d")
    stop = Stop()
    with pytest.raises(Interrupted):
        for _ in walk_of(tmp_path, Shared(stop=stop)).folders(str(tmp_path)):
            stop.set()


# the other ways to read


def test_small_texts(tmp_path: Path) -> None:
    make(tmp_path, "text")
    (tmp_path / "latin").write_bytes(b"\xe9")
    (tmp_path / "long").write_bytes(b"x" * 11)
    (tmp_path / "link").symlink_to("text")
    os.mkfifo(tmp_path / "fifo")
    walk = walk_of(tmp_path)
    assert walk.read_text(str(tmp_path / "text"), 10) == "text"
    for name in ("latin", "long", "link", "fifo", "missing", "text/below"):
        assert walk.read_text(str(tmp_path / name), 10) is None
    assert {os.path.basename(warning.path) for warning in walk.warnings} == {"latin", "long"}


def test_nothing_outside_of_the_root_is_read(tmp_path: Path) -> None:
    make(tmp_path, "root/a", "secret")
    walk = walk_of(tmp_path / "root")
    for path in (tmp_path / "secret", tmp_path / "root/../secret", tmp_path / "roots"):
        assert walk.read_text(str(path)) is None
        assert walk.stat(str(path)) is None
        assert walk.listing(str(path)) == []
        assert walk.readlink(str(path)) is None
    assert len(walk.warnings) == 12
    assert all("outside of the root" in warning.message for warning in walk.warnings)


def test_links_listings_and_stats(tmp_path: Path) -> None:
    make(tmp_path, "b", "a")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    walk = walk_of(tmp_path)
    assert walk.listing(str(tmp_path)) == ["a", "b", "link", "loop"]
    assert walk.listing(str(tmp_path / "missing")) == []
    assert walk.readlink(str(tmp_path / "link")) == "nowhere"
    assert walk.readlink(str(tmp_path / "a")) is None
    assert [walk.dangles(str(tmp_path / name)) for name in ("a", "link", "loop")] == [False, True, True]
    st = walk.stat(str(tmp_path / "link"))
    assert st is not None
    assert os.path.stat.S_ISLNK(st.st_mode)  # type: ignore[attr-defined]
    assert walk.stat(str(tmp_path / "missing")) is None
    assert not walk.warnings


def test_commits_are_told_from_one_root_to_the_next(tmp_path: Path) -> None:
    commits: dict[str, tuple[str, str]] = {}
    walk_of(tmp_path, Shared(commits=commits)).note_commit("c" * 40, "org/name", "model")
    assert walk_of(tmp_path, Shared(commits=commits)).commit_repo("c" * 40) == ("org/name", "model")
    assert walk_of(tmp_path).commit_repo("c" * 40) is None


def test_within() -> None:
    assert within("/a/b", "/a")
    assert within("/a", "/a")
    assert within("/a", "/")
    assert not within("/ab", "/a")
    assert not within("/", "/a")


def test_what_was_worked_out_with_a_walk_is_not_worked_out_again(tmp_path: Path) -> None:
    walk, made = TreeWalk(Root(str(tmp_path), "plain"), {}), []
    for _ in range(3):
        assert walk.once("list", lambda: made.append(1) or made) == [1]
    assert walk.once("other", lambda: 2) == 2
    assert TreeWalk(Root(str(tmp_path), "plain"), {}).once("list", lambda: 3) == 3


def test_two_looks_at_a_folder_at_a_time_each_see_all_of_it(tmp_path: Path) -> None:
    """One inside of the other: as a backend looks for what belongs to what it has before it."""
    for name in "abc":
        (tmp_path / name / "below").mkdir(parents=True)
    walk = TreeWalk(Root(str(tmp_path), "plain"), {})
    alone = [folder.path for folder in walk.folders(str(tmp_path))]
    assert len(alone) == 7
    outer = []
    for folder in walk.folders(str(tmp_path)):
        outer.append(folder.path)
        assert [one.path for one in walk.folders(str(tmp_path))] == alone
    assert outer == alone
