"""What a removal frees."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress

from hubfold.content import IndexedReplica, Signature
from hubfold.disk import open_flags
from hubfold.reading import extents


def measure(paths: Iterable[str], folders: Iterable[str] = ()) -> int:
    """What the file system gets back when all of `paths` are gone, in bytes by allocated blocks.

    An inode counts only if all its names are among them; extents that another file shares do not count.
    """
    names: dict[tuple[int, int], set[str]] = {}
    stats: dict[tuple[int, int], os.stat_result] = {}
    freed = 0
    for path in paths:
        with suppress(OSError):
            st = os.lstat(path)
            names.setdefault((st.st_dev, st.st_ino), set()).add(path)
            stats[st.st_dev, st.st_ino] = st
    for inode, found in names.items():
        st = stats[inode]
        if st.st_nlink <= len(found):
            freed += max(0, st.st_blocks * 512 - shared_bytes(next(iter(found)), st))
    for folder in folders:
        with suppress(OSError):
            freed += os.lstat(folder).st_blocks * 512
    return freed


#: Whoever the index knows to have the content of a file, itself too.
Same = Callable[[str, os.stat_result], Iterable[IndexedReplica]]


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
    if not stat.S_ISREG(st.st_mode):
        return 0
    try:
        fd = os.open(path, open_flags.READ | open_flags.NOFOLLOW)
    except OSError:
        return 0
    try:
        return extents.shared_bytes(fd)
    finally:
        os.close(fd)
