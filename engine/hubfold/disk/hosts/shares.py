"""One host at work on a share: roots that lie on file systems of several hosts are locked as long as a run goes on.

The lock is that of the name ``.hubfold-run`` in each root. Roots may lie in each other, and two hosts may know the one
and the other: so who has locked his own looks for a lock in each folder above them on their file system, and in each
folder that he is about to change. Both do, after they have taken their own, so that one of two sees the other (both
may; then neither goes on). Folders are listed for that: to list one asks the server, to look for a name may not.

Not seen is a run on the same files by another mount of the share that begins below the other one's roots.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress

from hubfold.content import TEMPORARY_PREFIX
from hubfold.disk.hosts import holders, lock
from hubfold.disk.hosts.holders import Holder
from hubfold.disk.paths import upwards, within
from hubfold.errors import HeldElsewhere

#: The name that is locked in a root; what begins so is no content of any layout.
RUN = f"{TEMPORARY_PREFIX}run"
#: Where nothing can be written, nothing will be changed.
_NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def lock_of(root: str) -> str:
    """The path whose lock (`lock.take`) the runs on a root take."""
    return os.path.join(root, RUN)


def shared(roots: Collection[str]) -> list[str]:
    """Those of the roots that are there and lie on a file system that other hosts may use."""
    return [root for root in sorted(set(roots)) if os.path.isdir(root) and lock.wanted(root)]


@contextmanager
def alone(
    roots: Collection[str], folders: Collection[str], command: str, broken: Callable[[], object]
) -> Iterator[list[Holder]]:
    """Be the one run on the shared ones of `roots`, which is about to change files in `folders`.

    Those whose locks it took since they are gone are handed out. `broken` is called, by another thread, if somebody
    breaks a lock meanwhile. Raises `HeldElsewhere`, `OSError`.
    """
    found = shared(roots)
    with ExitStack() as held:
        mine = set()
        gone: list[Holder] = []
        for root in found:
            try:
                taken = lock.take(lock_of(root), command, broken)
            except OSError as error:
                if error.errno not in _NOT_OURS:
                    raise
                continue
            held.callback(taken.release)
            mine.add(root)
            gone += [taken.instead_of] if taken.instead_of is not None else []
        for folder in _to_look_into(found, folders):
            if folder not in mine:
                _look(folder)
        yield gone


def _to_look_into(roots: Collection[str], folders: Collection[str]) -> Iterator[str]:
    """The folders above the roots on their file systems, and those from a root down to what is changed, each once."""
    seen: set[str] = set()
    for root in roots:
        device = os.stat(root).st_dev
        for above in upwards(root):
            if above in seen or os.stat(above).st_dev != device:
                break
            seen.add(above)
    for folder in folders:
        for above in upwards(folder):
            if above in seen or not any(within(above, root) for root in roots):
                break
            seen.add(above)
    yield from sorted(seen)


def _look(folder: str) -> None:
    """Raise `HeldElsewhere` where a run has locked this folder, and is not known to be gone."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        if RUN + lock.SUFFIX in os.listdir(folder):
            holder = lock.holder_of(lock_of(folder))
            if holder is not None and not holders.has_ended(holder.token):
                raise HeldElsewhere(lock_of(folder) + lock.SUFFIX, holder.line)
