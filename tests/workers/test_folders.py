"""Folders that workers list: a walk sees what it would have seen itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hubfold.engine.engine import Engine
from hubfold.progress import Stop
from hubfold.workers import folders, tasks
from hubfold.workers.folders import Folders
from hubfold.workers.tasks import Listed
from tests.building import teams


class Listing(Executor):
    """One worker, whose lists are changed on their way."""

    _max_workers = 1

    def __init__(self, change: Callable[[Listed], Any] = lambda answer: answer) -> None:
        self._change = change
        self.asked: list[list[str]] = []

    def submit(self, function: Any, /, *arguments: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        found = function(*arguments, **kwargs)
        if function is tasks.list_folders:
            self.asked.append(list(arguments[1]))
            found = self._change(found)
        future.set_result(found)
        return future


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for name in ("a/one.bin", "a/deep/two.bin", "b/three.bin", "four.bin"):
        path = tmp_path / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "top" / "link").symlink_to("four.bin")
    os.mkfifo(tmp_path / "top" / "pipe")
    return tmp_path / "top"


def lister(executor: Executor) -> Folders:
    return Folders(teams.spread(executor), Stop())


def taken(executor: Executor, path: Path) -> folders.ListedHere | None:
    found = lister(executor)
    found.expect([str(path)])
    return found.take(str(path))


def test_entries_are_what_the_system_says(top: Path) -> None:
    found = taken(Listing(), top)
    assert found is not None
    assert (found.device, found.inode) == (top.stat().st_dev, top.stat().st_ino)
    real = {entry.name: entry for entry in os.scandir(top)}
    assert {one.name for one in found.entries} == real.keys()
    for one in found.entries:
        entry = real[one.name]
        assert one.is_file(follow_symlinks=False) == entry.is_file(follow_symlinks=False)
        assert one.is_symlink() == entry.is_symlink()
        assert one.is_dir(follow_symlinks=False) == entry.is_dir(follow_symlinks=False)
    (file,) = [one for one in found.entries if one.name == "four.bin"]
    st = os.lstat(top / "four.bin")
    assert tuple(file.stat()) == tuple(st)
    for name in (*tasks.STAT_FIELDS, "st_dev", "st_mtime", "st_ctime"):
        assert getattr(file.stat(), name) == getattr(st, name), name


def test_one_task_lists_what_is_below_too(top: Path) -> None:
    executor = Listing()
    found = lister(executor)
    found.expect([str(top)])
    for path in (top, top / "a", top / "a" / "deep", top / "b"):
        assert found.take(str(path)) is not None
    assert executor.asked == [[str(top)]]


def test_what_was_not_expected_is_the_walks_own(top: Path) -> None:
    assert lister(Listing()).take(str(top)) is None


def of_first(**values: Any) -> Callable[[Listed], Listed]:
    return lambda answer: answer._replace(folders=(answer.folders[0]._replace(**values), *answer.folders[1:]))


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: None,
        lambda answer: answer._replace(nonce=""),
        lambda answer: answer._replace(folders=None),
        lambda answer: answer._replace(folders=()),
        of_first(filesystem="ext4:0"),
        of_first(seen=(1, 2, 3)),
        of_first(entries={"../up": None}),
        of_first(entries={"..": None}),
        of_first(entries={3: None}),
        of_first(entries={"a": (1, 2)}),
        of_first(entries={"a": (0o040755, *range(9))}),
        of_first(entries={"a": ("x",) * 10}),
        of_first(entries=[]),
    ],
)
def test_what_makes_no_sense_is_listed_by_the_walk(change: Callable[[Listed], Any], top: Path) -> None:
    assert taken(Listing(change), top) is None


def test_a_folder_that_changed_since_is_listed_by_the_walk(top: Path) -> None:
    def later(answer: Listed) -> Listed:
        (top / "new.bin").write_bytes(b"new")
        return answer

    assert taken(Listing(later), top) is None


def rows(home: Path, top: Path, executor: Executor | None) -> dict[str, list[tuple[Any, ...]]]:
    """What the index has after a scan, but for what counts scans."""
    with Engine(home, executor=executor) as engine:
        engine.scan([top], min_size=0)
        index = engine.workspace.index
        return {
            "files": sorted(
                index.rows(
                    "SELECT p.path, f.name, f.device, f.inode, f.size, f.mtime_ns, f.ctime_ns, f.allocated,"
                    " f.nlink, f.mode, f.uid, f.gid FROM files f JOIN folders p ON p.id = f.folder_id"
                )
            ),
            "folders": sorted(index.rows("SELECT path, fingerprint FROM folders")),
            "digests": sorted(index.rows("SELECT * FROM digests")),
        }


def test_a_scan_by_workers_leaves_the_rows_of_one_without(tmp_path: Path, top: Path) -> None:
    for name in ("x.safetensors", "a/x.safetensors", "b/y.gguf"):
        (top / name).write_bytes(b"the same")
    alone = rows(tmp_path / "alone", top, None)
    assert len(alone["files"]) == 7
    assert alone["digests"]
    with ThreadPoolExecutor(2) as executor:
        assert rows(tmp_path / "spread", top, executor) == alone


def test_a_file_that_is_rewritten_between_two_scans_is_seen(tmp_path: Path, top: Path) -> None:
    (top / "x.gguf").write_bytes(b"the same")
    (top / "y.gguf").write_bytes(b"the same")
    with ThreadPoolExecutor(2) as executor, Engine(tmp_path / "home", executor=executor) as engine:
        assert engine.scan([top], min_size=0).duplicate_sets == 1
        (top / "y.gguf").write_bytes(b"not same")
        assert engine.scan([top], min_size=0).duplicate_sets == 0


def test_workers_that_die_leave_the_walk_to_us(tmp_path: Path, top: Path) -> None:
    class Dead(Listing):
        def submit(self, function: Any, /, *arguments: Any, **kwargs: Any) -> Future[Any]:
            if function is tasks.greet:
                return super().submit(function, *arguments, **kwargs)
            raise RuntimeError("no")

    (top / "x.gguf").write_bytes(b"x")
    assert rows(tmp_path / "spread", top, Dead()) == rows(tmp_path / "alone", top, None)
