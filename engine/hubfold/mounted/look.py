"""What lies at paths of the host, each asked once."""

from __future__ import annotations

import os
import stat


class Looks:
    """A `mounts.Look` at the disk."""

    def __init__(self) -> None:
        self._known: dict[str, str | bool | None] = {}

    def __call__(self, path: str) -> str | bool | None:
        if path not in self._known:
            self._known[path] = _look(path)
        return self._known[path]


def _look(path: str) -> str | bool | None:
    try:
        mode = os.lstat(path).st_mode
        return os.readlink(path) if stat.S_ISLNK(mode) else stat.S_ISDIR(mode)
    except OSError:
        return None
