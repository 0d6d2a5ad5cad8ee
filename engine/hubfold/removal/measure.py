"""What a removal frees."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from hubfold.content import IndexedReplica, Signature
from hubfold.disk import open_flags
from hubfold.disk.filesystem import FileSystems
from hubfold.reading import extents

#: Whoever the index knows to have the content of a file, itself too.
Same = Callable[[str, os.stat_result], Iterable[IndexedReplica]]
#: A piece of a disk, (first byte, the byte behind it).
_Range = tuple[int, int]


def measure(paths: Iterable[str], folders: Iterable[str] = (), same: Same | None = None) -> int:
    """What the file system gets back when all of `paths` are gone, in bytes by allocated blocks.

    An inode counts only if all its names are among them. Extents that files share count once, where all that is known
    to have them goes: a file that stays is known by `same`, and by extents that only one of those that go has. (That a
    file nobody scanned has the extents of two that go, no ordinary user is told by a kernel.)
    """
    names: dict[tuple[int, int], set[str]] = {}
    stats: dict[tuple[int, int], os.stat_result] = {}
    freed = 0
    for path in paths:
        with suppress(OSError):
            st = os.lstat(path)
            names.setdefault((st.st_dev, st.st_ino), set()).add(path)
            stats[st.st_dev, st.st_ino] = st
    shared: dict[tuple[int, int], tuple[str, list[_Range]]] = {}
    for inode, found in names.items():
        st = stats[inode]
        if st.st_nlink <= len(found):
            freed += st.st_blocks * 512
            path = min(found)
            if ranges := shared_ranges(path, st):
                shared[inode] = path, ranges
    if shared:
        freed -= _kept_by_sharing(shared, stats, same)
    for folder in folders:
        with suppress(OSError):
            freed += os.lstat(folder).st_blocks * 512
    return max(0, freed)


def _kept_by_sharing(
    shared: Mapping[tuple[int, int], tuple[str, list[_Range]]],
    stats: Mapping[tuple[int, int], os.stat_result],
    same: Same | None,
) -> int:
    """What of the blocks of files that go the file system does not get back, or was counted for each of them."""
    filesystems = FileSystems()
    pools: dict[object, list[list[_Range]]] = {}
    stay: dict[object, list[_Range]] = {}
    for inode, (path, ranges) in shared.items():
        pool = _pool(path, filesystems)
        pools.setdefault(pool, []).append(ranges)
        for other in same(path, stats[inode]) if same is not None else ():
            if other.payload not in shared and _is_there(other):
                kept = shared_ranges(other.path, os.lstat(other.path))
                stay.setdefault(_pool(other.path, filesystems), []).extend(kept)
    return sum(
        length * (going if going == 1 or held else going - 1)
        for pool, going_files in pools.items()
        for length, going, held in _overlaps(going_files, stay.get(pool, ()))
    )


def _overlaps(files: Sequence[Sequence[_Range]], stay: Sequence[_Range]) -> Iterator[tuple[int, int, bool]]:
    """(length, by how many of `files` it is had, whether `stay` has it) of each piece that `files` have."""
    steps = [
        (place, change, 0)
        for ranges in files
        for first, end in ranges
        for place, change in ((first, 1), (end, -1))
    ]
    steps += [(place, 0, change) for first, end in stay for place, change in ((first, 1), (end, -1))]
    going = held = before = 0
    for place, more, kept in sorted(steps):
        if going and place > before:
            yield place - before, going, held > 0
        going, held, before = going + more, held + kept, place


def _pool(path: str, filesystems: FileSystems) -> object:
    """Which disk the addresses of a file's extents are of."""
    with suppress(OSError):
        return filesystems.of(os.path.dirname(path)).pool or os.lstat(path).st_dev
    return path


def last_copies(paths: Iterable[str], same: Same) -> tuple[str, ...]:
    """Those of `paths` whose content has no other name, and no copy that is known and still there, that stays.

    One path of each content. `same` is asked only about files that have no other name.
    """
    going = set(paths)
    last = []
    for path in _last_names(going):
        others = (one for one in same(path, os.lstat(path)) if one.path not in going)
        if not any(map(_is_there, others)):
            last.append(path)
    return tuple(last)


def _is_there(replica: IndexedReplica) -> bool:
    try:
        return Signature.of(os.stat(replica.path)) == replica.signature
    except OSError:
        return False


def _last_names(paths: Iterable[str]) -> list[str]:
    """Those of `paths` whose content has no name that is not among them: one path for each content."""
    names: dict[tuple[int, int], set[str]] = {}
    links: dict[tuple[int, int], int] = {}
    for path in paths:
        with suppress(OSError):
            st = os.lstat(path)
            if stat.S_ISREG(st.st_mode):
                names.setdefault((st.st_dev, st.st_ino), set()).add(path)
                links[st.st_dev, st.st_ino] = st.st_nlink
    return sorted(min(found) for inode, found in names.items() if links[inode] <= len(found))


def shared_bytes(path: str, st: os.stat_result) -> int:
    """What another file has too of a file's extents; a long symlink has a block, but no extents to share."""
    return sum(end - first for first, end in shared_ranges(path, st))


def shared_ranges(path: str, st: os.stat_result) -> list[_Range]:
    """Where on its disk the extents of a file lie that another file has too."""
    if not stat.S_ISREG(st.st_mode):
        return []
    try:
        fd = os.open(path, open_flags.READ | open_flags.NOFOLLOW)
    except OSError:
        return []
    try:
        return [(first, first + length) for first, length in extents.shared(fd)]
    finally:
        os.close(fd)
