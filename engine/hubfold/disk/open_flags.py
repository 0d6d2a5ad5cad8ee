"""Flags for `os.open`, each 0 on a platform that lacks it, so that hubfold can be imported and probes what is there."""

from __future__ import annotations

import os

NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
_CLOEXEC: int = getattr(os, "O_CLOEXEC", 0)
_BINARY: int = getattr(os, "O_BINARY", 0)

#: Read a file; whoever must not follow a symlink or hang on a FIFO adds `NOFOLLOW` or `NONBLOCK`.
READ: int = os.O_RDONLY | _CLOEXEC | _BINARY
#: Open a directory (where a platform can).
DIRECTORY: int = READ | getattr(os, "O_DIRECTORY", 0)
#: Make a file that was not there; add to a file, made if missing. Neither follows a symlink.
CREATE: int = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW | _CLOEXEC | _BINARY
APPEND: int = os.O_WRONLY | os.O_APPEND | os.O_CREAT | NOFOLLOW | _CLOEXEC | _BINARY
