"""One test at a time has file systems without a device (btrfs, tmpfs, overlays, FUSE): their numbers come as they come.

The kernel gives each the lowest number that is free, so what another process mounts or unmounts meanwhile could give a
btrfs another number when it is mounted again: every file of it would have changed, and a fault would strike another
call than the one that was recorded. A file system on a loop device has the number of the device, which a test keeps.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


class _Turn:
    """A lock that all processes of a run want, and this one as often as it likes."""

    def __init__(self) -> None:
        self._wanted = 0
        self._lock = -1

    def take(self) -> None:
        if self._wanted == 0:
            # One file for each user: another's cannot be opened in a sticky folder.
            path = os.path.join(tempfile.gettempdir(), f"hubfold-tests-numbers-{os.getuid()}")
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._wanted += 1

    def give(self) -> None:
        self._wanted -= 1
        if self._wanted == 0:
            os.close(self._lock)


_turn = _Turn()
take, give = _turn.take, _turn.give


@contextmanager
def mine() -> Iterator[None]:
    take()
    try:
        yield
    finally:
        give()
