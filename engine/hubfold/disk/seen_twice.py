"""Whether two open files are one that is seen twice, found out on the file itself.

Device and inode numbers do not tell: each FUSE mount and each layer of an overlay has its own. What is changed about a
file shows in all of its views, so the keeper is given the mode that it has: that moves its ctime and nothing else. But
for an overlay, which makes a file of its own of what is changed; so a file of another device with the same times
is taken for a view without that.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Sequence

from hubfold.disk import fresh
from hubfold.disk.held import HeldFile, set_mode

#: How often the mode is given, a millisecond between, until the clock of the file system has moved on: ticks are 10 ms
#: at the most (CONFIG_HZ), but for file systems that keep no ctime worth the name.
_TRIES = 200


def views(keeper: HeldFile, victims: Sequence[HeldFile]) -> Collection[HeldFile] | None:
    """Those of `victims` that are the keeper's own file; None where that cannot be found out. Raises `OSError`."""
    before = {victim: fresh.ctime_ns(victim.fd) for victim in victims}
    now = fresh.ctime_ns(keeper.fd)
    same_times = [victim for victim in victims if before[victim] == now and _elsewhere(victim, keeper)]
    if len(same_times) == len(before):
        return same_times
    if not _move_ctime(keeper):
        return None
    return same_times + [victim for victim in victims if fresh.ctime_ns(victim.fd) != before[victim]]


def _elsewhere(victim: HeldFile, keeper: HeldFile) -> bool:
    """Whether a file of another device has the keeper's mtime, too."""
    one, other = victim.signature, keeper.signature
    return one.device != other.device and one.mtime_ns == other.mtime_ns


def _move_ctime(held: HeldFile) -> bool:
    first = fresh.ctime_ns(held.fd)
    for _ in range(_TRIES):
        try:
            set_mode(held.fd, stat.S_IMODE(os.fstat(held.fd).st_mode))
        except OSError:
            return False  # another user's file, or a file system that is read-only by now
        if fresh.ctime_ns(held.fd) != first:
            return True
        time.sleep(0.001)
    return False
