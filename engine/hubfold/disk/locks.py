"""Locks: hubfold's own, so that one run changes things at a time, and those of the layouts' own programs."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hubfold.disk import directory
from hubfold.disk.hosts import lock as hosts
from hubfold.disk.paths import within
from hubfold.errors import Busy, LeftAlone

if TYPE_CHECKING:
    import filelock


def take_lock(path: str, root: str | None = None) -> filelock.BaseFileLock:
    """Hold the lock file `path` (flock, as huggingface_hub's WeakFileLock does), made if missing.

    One of a layout is made where the layout's `root` is, and nowhere else: with a drive that is away no folders grow in
    its place, and no symlink below the root is followed. Raises `Busy` if somebody holds it, `LeftAlone`, `OSError`. On
    network file systems where flock does nothing the signatures, which are checked again afterwards, must do: what the
    programs of a layout do on other hosts is kept out by nothing that we could take.
    """
    # Here: a scan takes no lock, and this import brings sockets and logging with it.
    import filelock

    _make_folder(path, root)
    before = os.lstat(path) if os.path.lexists(path) else None
    new = before is None
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise Busy(f"another program holds {path}") from None
    except NotImplementedError as error:
        # As huggingface_hub's WeakFileLock (0.36 and later) goes on there: held is what is there.
        if "SoftFileLock" not in str(error):
            raise OSError(errno.ENOSYS, "this file system has no locks", path) from None
        return _soft_lock(path)
    if before is not None and os.lstat(path).st_mtime_ns != before.st_mtime_ns:
        # filelock truncated what it locked (until 4.2), but when a lock was last used is how `clean` tells an old one.
        with suppress(OSError):
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)
    if new:
        # A lock file of root's, or of a narrow umask, would keep the programs of others from ever taking it.
        top, name = os.path.split(path)
        with directory.Directory.open(top) as folder, suppress(FileNotFoundError):
            fd = folder.open_file(name)
            try:
                folder.own_file(fd, noted=True)
            finally:
                os.close(fd)
    return lock


def _soft_lock(path: str) -> filelock.BaseFileLock:
    import filelock

    lock = filelock.SoftFileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise Busy(f"another program holds {path}") from None
    return lock


def _make_folder(path: str, root: str | None) -> None:
    folder = os.path.dirname(path)
    if root is None:
        directory.make_folders(folder)
        return
    if not os.path.isdir(root):
        raise LeftAlone(f"{root} is not there (is its drive connected?): no lock file is made in its place")
    if within(folder, root):
        directory.Directory.make_below(root, folder).close()
    else:  # of a root that is a part of a cache, beside it
        directory.make_folders(folder)
    if os.path.islink(path):
        raise LeftAlone(f"{path} is a symlink, and no lock file")


class OwnLock:
    """A lock of hubfold's own: held on this host by flock, and between hosts where the file system has more of them."""

    def __init__(self, flock: filelock.BaseFileLock, host: hosts.HostLock | None) -> None:
        self._flock = flock
        self._host = host

    def release(self) -> None:
        if self._host is not None:
            self._host.release()
        self._flock.release()


def take_own_lock(path: str, root: str | None = None) -> OwnLock:
    """`take_lock` of a lock file that is hubfold's own. Raises as that, and `HeldElsewhere`."""
    flock = take_lock(path, root)
    try:
        host = hosts.take(path) if hosts.wanted(os.path.dirname(path)) else None
    except BaseException:
        flock.release()
        raise
    return OwnLock(flock, host)


@contextmanager
def passing_lock(path: str, root: str | None = None) -> Iterator[None]:
    """Hold a lock for a moment, and leave no lock file where there was none. Raises as `take_lock` does."""
    made, made_folder = not os.path.lexists(path), not os.path.isdir(os.path.dirname(path))
    held = take_lock(path, root)
    try:
        yield
    finally:
        if made:
            # filelock takes no lock on a file that was unlinked meanwhile, so nobody is left holding this one.
            with suppress(OSError):
                os.unlink(path)
                if made_folder:
                    os.rmdir(os.path.dirname(path))
        held.release()
