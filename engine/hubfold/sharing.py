"""Which files share their extents: asked by every scan that finds duplicates, so it imports little."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from hubfold.disk import open_flags
from hubfold.reading import extents

if TYPE_CHECKING:
    from hubfold.content import IndexedReplica
    from hubfold.disk.filesystem import FileSystems


def extents_of(path: str) -> object:
    """The physical extents of a file on a file system that can share them; None where they cannot be told."""
    try:
        fd = os.open(path, open_flags.READ | open_flags.NOFOLLOW)
    except OSError:
        return None
    try:
        return extents.physical(fd)
    finally:
        os.close(fd)


def shared_extents(replica: IndexedReplica, filesystems: FileSystems) -> object:
    """A key that two payloads have in common when they share all their extents, None where that cannot be."""
    return extents_key(replica.path, filesystems)


def extents_key(path: str, filesystems: FileSystems) -> object:
    """`shared_extents` of the regular file at `path`."""
    with suppress(OSError):
        pool = filesystems.of(os.path.dirname(path)).pool
        found = extents_of(path) if pool else None
        return (pool, found) if found else None
    return None


def shared_bytes(path: str) -> int:
    """Bytes of the file at `path` whose extents another file has too; 0 where that cannot be told."""
    with suppress(OSError):
        fd = os.open(path, open_flags.READ | open_flags.NOFOLLOW)
        try:
            return extents.shared_bytes(fd)
        finally:
            os.close(fd)
    return 0
