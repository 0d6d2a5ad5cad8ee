"""Folders listed by a team ahead of the walk that asks for them.

What a worker says of a folder counts where that is on the same file system, and has the inode and the times that it
has here: one call a folder instead of one a file. What no worker lists is listed by the walk itself.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from typing import Any, NamedTuple

from hubfold.disk.identity import FileSystemNames
from hubfold.progress import Stop
from hubfold.workers import tasks
from hubfold.workers.spread import AHEAD, PATIENCE, Spread
from hubfold.workers.tasks import FolderAnswer, Listed, Stat

#: Folders that are given out together where many are waiting.
TASK_FOLDERS = 8
#: Folders that are kept for a walk which may never ask for them: it stays out of some.
_MOST_KEPT = 100_000
_TICK = 0.1
#: After so many failures without an answer in between the walk goes on alone.
_HOPELESS = 8


class Entry:
    """A directory entry as a worker saw it, in the form of `os.DirEntry`."""

    __slots__ = ("_device", "_what", "name")

    def __init__(self, name: str, what: Stat | bool | None, device: int) -> None:
        self.name = name
        self._what = what
        self._device = device

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return type(self._what) is tuple

    def is_symlink(self) -> bool:
        return self._what is False

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._what is None

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """What `lstat` said of a regular file."""
        assert isinstance(self._what, tuple)
        return as_stat(self._what, self._device)


def _seconds(nanoseconds: int) -> float:
    """As `os.stat` rounds them: another order of the same sum is another last digit."""
    whole, rest = divmod(nanoseconds, 10**9)
    return whole + 1e-9 * rest


def as_stat(what: Stat, device: int) -> os.stat_result:
    """A `Stat` in the form of the standard library, on `device`."""
    mode, inode, links, uid, gid, size, blocks, atime, mtime, ctime = what
    return os.stat_result(
        (
            *(mode, inode, device, links, uid, gid, size),
            *(atime // 10**9, mtime // 10**9, ctime // 10**9),
            *(_seconds(atime), _seconds(mtime), _seconds(ctime)),
            *(atime, mtime, ctime),
            *(4096, blocks, 0),
        )
    )


class ListedHere(NamedTuple):
    """A folder as the walk takes it: `device` and `inode` as they are here."""

    device: int
    inode: int
    entries: list[Entry]


class Folders:
    """Who lists folders for the walks of one scan. See `scanning.walk.Lister`."""

    def __init__(self, spread: Spread, stop: Stop) -> None:
        #: How many folders a worker listed, and how many of these were not as they are here.
        self.taken = Counter[bool]()
        self._spread = spread
        self._stop = stop
        self._names = FileSystemNames.now()
        self._wanted: dict[str, None] = {}
        self._sent: dict[Future[Any], tuple[str, list[str], float]] = {}
        self._under_way: dict[str, Future[Any]] = {}
        self._ready: dict[str, FolderAnswer] = {}
        self._failures = 0

    def begin(self, root: str) -> bool:
        """Whether workers can list a root. Raises `Interrupted`, and what `workers.named` does."""
        return self._spread.sees([root], FileSystemNames.now(), self._stop)[root]

    def expect(self, paths: Iterable[str]) -> None:
        """These are asked for soon, the last of them first."""
        for path in paths:
            if path not in self._ready and path not in self._under_way:
                self._wanted.pop(path, None)
                self._wanted[path] = None
        self._give_out()

    def take(self, path: str) -> ListedHere | None:
        """A folder that was expected, as it is now; None where the walk has to list it. Raises `Interrupted`."""
        if path not in self._ready and path in self._under_way:
            self._wait_for(path)
        self._wanted.pop(path, None)
        answer = self._ready.pop(path, None)
        found = None if answer is None else self._here(answer)
        if answer is not None:
            self.taken[found is not None] += 1
        self._collect()
        self._give_out()
        return found

    def _give_out(self) -> None:
        if self._failures >= _HOPELESS or not self._wanted:
            return
        room = AHEAD * self._spread.team.width()
        while self._wanted and len(self._sent) < room:
            share = max(1, min(TASK_FOLDERS, len(self._wanted) // room))
            paths = [self._wanted.popitem()[0] for _ in range(share)]
            nonce = secrets.token_hex(16)
            try:
                future = self._spread.team.submit(tasks.list_folders, nonce, paths)
            except Exception:  # noqa: BLE001 - whatever an executor of others raises
                self._failures += 1
                if not self._spread.team.mend():
                    self._failures = _HOPELESS
                return
            self._sent[future] = nonce, paths, time.monotonic() + PATIENCE
            self._under_way.update(dict.fromkeys(paths, future))

    def _wait_for(self, path: str) -> None:
        future = self._under_way[path]
        while not future.done():
            self._stop.check()
            if time.monotonic() > self._sent[future][2]:
                self._failures += 1
                self._forget(future)
                future.cancel()
                return
            wait([future], timeout=_TICK)
        self._taken(future)

    def _collect(self) -> None:
        for future in [one for one in self._sent if one.done()]:
            self._taken(future)

    def _forget(self, future: Future[Any]) -> tuple[str, list[str]]:
        nonce, paths, _ = self._sent.pop(future)
        for path in paths:
            self._under_way.pop(path, None)
        return nonce, paths

    def _taken(self, future: Future[Any]) -> None:
        nonce, paths = self._forget(future)
        if future.cancelled() or future.exception() is not None:
            self._failures += 1
            return
        answer = future.result()
        if type(answer) is not Listed or answer.nonce != nonce or type(answer.folders) is not tuple:
            self._failures += 1
            return
        self._failures = 0
        for one in answer.folders:
            if type(one) is FolderAnswer and isinstance(one.path, str):
                self._ready[one.path] = one
                self._wanted.pop(one.path, None)
        left = set(answer.left) if type(answer.left) is tuple else ()
        for path in reversed(paths):
            if path in left and path not in self._ready:
                self._wanted[path] = None
        while len(self._ready) > _MOST_KEPT:
            del self._ready[next(iter(self._ready))]

    def _here(self, answer: FolderAnswer) -> ListedHere | None:
        """The answer, if the folder is here what it is there."""
        try:
            st = os.lstat(answer.path)
        except OSError:
            return None
        if not stat.S_ISDIR(st.st_mode) or answer.seen != tasks.times(st):
            return None
        if answer.filesystem != self._names.of_folder(answer.path, st.st_dev):
            return None
        if type(answer.entries) is not dict or not all(_makes_sense(answer.entries)):
            return None
        entries = [Entry(name, what, st.st_dev) for name, what in answer.entries.items()]
        return ListedHere(st.st_dev, st.st_ino, entries)


def _makes_sense(entries: dict[str, Stat | bool | None]) -> Iterator[bool]:
    for name, what in entries.items():
        yield isinstance(name, str) and name not in ("", ".", "..") and "/" not in name and "\0" not in name
        if type(what) is tuple:
            yield len(what) == len(tasks.STAT_FIELDS) and all(type(one) is int for one in what)
            yield stat.S_ISREG(what[0])
        else:
            yield what is None or type(what) is bool
