"""What a backend may ask of the disk where it has no `Walk`: in `recognise`, `default_roots` and `lock_paths`.

Nothing here raises or warns: what cannot be read is not there, and the scan that follows says why.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection


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


def text(path: str, limit: int = 1 << 18) -> str | None:
    """The text of a small file (at most `limit` bytes; UTF-8) behind whatever links, None where it cannot be had.

    For settings by which a layout's programs say where their models lie (`default_roots`).
    """
    try:
        # A FIFO in its place must not hold up whoever asks.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        with open(fd, "rb", closefd=False) as file:
            data = file.read(limit + 1)
        return None if len(data) > limit else data.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    finally:
        os.close(fd)


def absolute(path: str) -> str:
    """`path` from the working directory, normalised by its text."""
    return os.path.abspath(path)
