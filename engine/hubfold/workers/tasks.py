"""What workers are asked, what they do, and what they answer: plain functions of picklable arguments.

Any `concurrent.futures.Executor` can run them, in another process or on another host, where the same hubfold is
installed. A device number means nothing there, so a file is named by its path, its file system (`FileSystems`) and
what else makes up its signature; a worker answers with all of that as it saw it itself. Each task has a nonce: an
engine that remembers the results of equal calls (Dask does) never has one to give.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import NamedTuple

import xxhash

from hubfold.content import OWN_PREFIX, Signature
from hubfold.disk import open_flags
from hubfold.disk.identity import FileSystemNames
from hubfold.reading import digests
from hubfold.reading.digests import Job, Reading

#: Counted up where a worker of the version before would understand something else.
PROTOCOL = 1

_DIRECTORY = open_flags.DIRECTORY | open_flags.NOFOLLOW

#: A file without the number of its device: inode, size, mtime and ctime in nanoseconds.
Seen = tuple[int, int, int, int]


class FileTask(NamedTuple):
    """A `Job` as it travels."""

    path: str
    #: The name of the file system that it lies on (`FileSystemNames`).
    filesystem: str
    seen: Seen
    algorithms: tuple[str, ...]


class FileAnswer(NamedTuple):
    """What a worker made of a `FileTask`: digests, or why there are none."""

    #: As the worker saw it before it read; the same afterwards where there are digests. () where it saw none.
    filesystem: str
    seen: Seen | tuple[()]
    digests: Mapping[str, str]
    bytes_read: int
    problem: str


class Answer(NamedTuple):
    """What came of one task. `nonce` is the task's; `worker` is who did it, for people."""

    nonce: str
    worker: str
    files: tuple[FileAnswer, ...]


class Greeting(NamedTuple):
    """What a worker is asked before it is given work."""

    nonce: str
    #: Folders of which it has to say what lies there.
    places: tuple[str, ...]
    #: A file that was just written, "" for none.
    probe: str
    #: Bytes to be hashed.
    sample: bytes
    #: Seconds to stay, so that others come to answer too.
    stay: float = 0.0


class Greeted(NamedTuple):
    """What it answers."""

    nonce: str
    worker: str
    protocol: int
    version: str
    #: For each place its file system and its inode, 0 where there is none, or what went wrong.
    places: tuple[tuple[str, int, str], ...]
    #: What the probe holds, nothing where it is not there; None where it cannot be read.
    probe: bytes | None
    sample: tuple[str, ...]


def travelling(job: Job, filesystem: str) -> FileTask:
    """The job as it travels to where its device has another number."""
    return FileTask(job.path, filesystem, job.signature[1:], job.algorithms)


def read_files(nonce: str, tasks: Sequence[FileTask]) -> Answer:
    """Read files here, each only if it is the very one that was meant."""
    names = FileSystemNames.now()
    return Answer(nonce, this_worker(), tuple(_read(task, names) for task in tasks))


def _read(task: FileTask, names: FileSystemNames) -> FileAnswer:
    try:
        here = Signature.of(os.lstat(task.path))
    except OSError as error:
        return FileAnswer("", (), {}, 0, error.strerror or str(error))
    filesystem = names.of(task.path, here.device)
    if filesystem != task.filesystem or here[1:] != task.seen:
        return FileAnswer(filesystem, here[1:], {}, 0, "")
    reading = digests.read(Job(task.path, here, task.algorithms))
    return FileAnswer(
        filesystem, here[1:], dict(reading.digests), reading.bytes_read, _problem(reading, task.algorithms)
    )


def _problem(reading: Reading, algorithms: Sequence[str]) -> str:
    if reading.changed:
        return "it changed while it was read"
    if reading.unreadable is not None:
        return reading.unreadable
    lacking = [name for name in algorithms if name not in reading.digests]
    return f"nothing computes {', '.join(lacking)} there" if lacking else ""


def greet(asked: Greeting) -> Greeted:
    """Say who is here, and what lies here at the places that the work will be about."""
    time.sleep(asked.stay)
    names = FileSystemNames.now()
    return Greeted(
        nonce=asked.nonce,
        worker=this_worker(),
        protocol=PROTOCOL,
        version=this_version(),
        places=tuple(look(path, names) for path in asked.places),
        probe=_held(asked.probe),
        sample=hashes(asked.sample),
    )


def look(folder: str, names: FileSystemNames) -> tuple[str, int, str]:
    """(file system, inode, what went wrong) of a folder."""
    try:
        st = os.stat(folder)
        os.scandir(folder).close()
    except OSError as error:
        return "", 0, error.strerror or str(error)
    return names.of_folder(folder, st.st_dev), st.st_ino, ""


def _held(path: str) -> bytes | None:
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            return file.read(1 << 10)
    except FileNotFoundError:
        return b""
    except OSError:
        return None


def hashes(data: bytes) -> tuple[str, ...]:
    """The digests of some bytes: what a machine that cannot be believed gets wrong."""
    return (
        hashlib.sha256(data, usedforsecurity=False).hexdigest(),
        hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        xxhash.xxh3_128_hexdigest(data),
    )


def this_worker() -> str:
    """Who this is, for people: host and process."""
    return f"{platform.node()}:{os.getpid()}"


@cache
def this_version() -> str:
    """The version of hubfold that is installed here."""
    from importlib.metadata import version

    return version("hubfold")


# -- folders -----------------------------------------------------------------------------------------------------

#: Entries after which a task answers what it has: the walk waits for the first of them.
MOST_ENTRIES = 4000
_SECONDS = 1.0

#: mode, inode, links, owner, group, bytes, blocks, and the times of access, content and change in nanoseconds.
Stat = tuple[int, int, int, int, int, int, int, int, int, int]
STAT_FIELDS = (
    *("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks"),
    *("st_atime_ns", "st_mtime_ns", "st_ctime_ns"),
)
_stat = attrgetter(*STAT_FIELDS)


class FolderAnswer(NamedTuple):
    """A folder as a worker listed it."""

    path: str
    filesystem: str
    #: Its inode and times, in nanoseconds: before it was listed and after that.
    seen: tuple[int, int, int]
    #: Name → what `lstat` said of a regular file; None for a folder, False for a symlink, True for anything else.
    entries: dict[str, Stat | bool | None]


class Listed(NamedTuple):
    """What came of a task of folders: these, and what it came to below them, as far as it got."""

    nonce: str
    folders: tuple[FolderAnswer, ...]
    #: Those of the task that it did not come to.
    left: tuple[str, ...]


def list_folders(nonce: str, paths: Sequence[str]) -> Listed:
    """List folders, and what is below them on the same file system, in the order of a walk."""
    names = FileSystemNames.now()
    ends = time.monotonic() + _SECONDS
    found: list[FolderAnswer] = []
    left: list[str] = []
    entries = 0
    for path in paths:
        pending = [path]
        device = None
        if entries >= MOST_ENTRIES or time.monotonic() > ends:
            left.append(path)
            continue
        while pending and (not found or (entries < MOST_ENTRIES and time.monotonic() < ends)):
            current = pending.pop()
            listed = _listed(current, device, names)
            if listed is None:
                continue
            device, answer = listed
            found.append(answer)
            entries += 1 + len(answer.entries)
            below = sorted((name for name, what in answer.entries.items() if what is None), reverse=True)
            pending += [os.path.join(current, name) for name in below if not name.startswith(OWN_PREFIX)]
    return Listed(nonce, tuple(found), tuple(left))


def _listed(path: str, device: int | None, names: FileSystemNames) -> tuple[int, FolderAnswer] | None:
    """A folder of the file system `device`; None where it is on another, changes, or something cannot be read."""
    try:
        fd = os.open(path, _DIRECTORY)
    except OSError:
        return None
    try:
        before = os.fstat(fd)
        if device is not None and before.st_dev != device:
            return None
        entries: dict[str, Stat | bool | None] = {}
        with os.scandir(fd) as listing:
            for entry in listing:
                entries[entry.name] = _entry(entry, before.st_dev)
        after = os.fstat(fd)
    except (OSError, _Foreign):
        return None
    finally:
        os.close(fd)
    if times(before) != times(after):
        return None
    filesystem = names.of_folder(path, before.st_dev)
    return before.st_dev, FolderAnswer(path, filesystem, times(after), entries)


def _entry(entry: os.DirEntry[str], device: int) -> Stat | bool | None:
    if entry.is_file(follow_symlinks=False):
        st = entry.stat(follow_symlinks=False)
        if st.st_dev != device:
            raise _Foreign
        found: Stat = _stat(st)
        return found
    if entry.is_symlink():
        return False
    return None if entry.is_dir(follow_symlinks=False) else True


def times(st: os.stat_result) -> tuple[int, int, int]:
    """What a folder is known by, that is as it was when it was listed."""
    return st.st_ino, st.st_mtime_ns, st.st_ctime_ns


class _Foreign(Exception):
    """A file that is mounted into a folder."""
