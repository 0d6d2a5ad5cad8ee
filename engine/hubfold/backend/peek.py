"""What a backend may ask of the disk where it has no `Walk`: in `recognise`, `default_roots` and `lock_paths`.

Nothing here raises or warns: what cannot be read is not there, and the scan that follows says why.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection

#: A FIFO that lies where a note would must not hang whoever looks.
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _NOFOLLOW | getattr(os, "O_CLOEXEC", 0)


def names_in(path: str) -> Collection[str]:
    """The names in a directory."""
    try:
        return os.listdir(path)
    except (OSError, ValueError):
        return ()


def is_folder(path: str) -> bool:
    """Whether `path` is a directory, or a symlink to one."""
    return os.path.isdir(path)


def exists(path: str) -> bool:
    """Whether there is anything at `path`, a dangling symlink included."""
    return os.path.lexists(path)


def link_text(path: str) -> str | None:
    """The text of a symlink, None where `path` is none."""
    try:
        return os.readlink(path)
    except (OSError, ValueError):
        return None


def text(path: str, limit: int = 1 << 16, *, behind_links: bool = False) -> str | None:
    """The text of a note of at most `limit` bytes (UTF-8); None where there is none.

    A symlink is none, but for settings by which a program says where its models lie: these may be read `behind_links`.
    """
    try:
        fd = os.open(path, _READ & ~_NOFOLLOW if behind_links else _READ)
    except (OSError, ValueError):
        return None
    try:
        data = os.read(fd, limit + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else None
        return None if data is None or len(data) > limit else data.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    finally:
        os.close(fd)


def absolute(path: str) -> str:
    """`path` from the working directory, normalised by its text."""
    return os.path.abspath(path)
