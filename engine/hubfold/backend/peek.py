"""What a backend may ask of the disk where it has no `Walk`: in `recognise`, `default_roots` and `lock_paths`.

Nothing here raises or warns: what cannot be read is not there, and the scan that follows says why.
"""

from __future__ import annotations

import os
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


def absolute(path: str) -> str:
    """`path` from the working directory, normalised by its text."""
    return os.path.abspath(path)
