"""What a path was when a user was asked about it: only what is still that may be removed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from hubfold.disk.directory import Directory


class Seen(NamedTuple):
    """A symlink by its text, a file by its inode, size and mtime."""

    text: str | None
    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def at(cls, directory: Directory, name: str) -> Seen | None:
        """None where there is nothing, or a folder."""
        st = directory.lstat_or_none(name)
        if st is None or stat.S_ISDIR(st.st_mode):
            return None
        text = directory.readlink(name) if stat.S_ISLNK(st.st_mode) else None
        return cls(text, st.st_dev, st.st_ino, st.st_size, 0 if text is not None else st.st_mtime_ns)


def look(path: str) -> Seen | None:
    """What is at `path` now."""
    try:
        with Directory.open(os.path.dirname(path)) as directory:
            return Seen.at(directory, os.path.basename(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def below(directory: Directory, name: str, shown: str) -> Iterable[tuple[str, Seen]]:
    """Every file and link below the folder `name`, with the paths that they had when it was at `shown`."""
    with directory.child(name) as folder:
        for entry in folder.names():
            path = os.path.join(shown, entry)
            seen = Seen.at(folder, entry)
            if seen is not None:
                yield path, seen
            elif folder.lstat_or_none(entry) is not None:
                yield from below(folder, entry, path)
