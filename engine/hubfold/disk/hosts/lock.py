"""A lock that holds between hosts: a folder that only one process can put in its place.

flock is a matter of one host on many network file systems (GPFS, Lustre, some NFS mounts), and a folder is not: the
server alone says who was first. The lock of `PATH` is the folder ``PATH.host``::

    PATH.host/<token>           who holds it (`holders`); its mtime is the heartbeat
    PATH.host.<token>/<token>   one that is being taken

It is made whole under a name of its own (mkdir), and renamed to the lock's name. A folder can be renamed over nothing,
or over an empty folder, so of all that try one succeeds, and none while there is a holder in it. The holder has a name
that nobody else ever has, so who lets go of a lock, or breaks it, takes that name away and can hit no other holder.

A holder sets the mtime of its file to the server's time every `BEAT` seconds. **When a lock may be broken:**

- by whoever wants it, where the holder is a process of this very boot and these process numbers that is gone;
- else only by a person (`hubfold unlock`), after its heartbeat stood still for `STILL` seconds while we watched. What
  the clocks of the hosts say is never compared: only that the mtime is the same as it was, by our own monotonic clock.

A holder that finds itself broken (it was stopped for minutes) notices at its next beat, and its run ends (`lost`).
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from hubfold.disk.directory import Directory
from hubfold.disk.filesystem import reaches_other_hosts
from hubfold.disk.hosts import holders
from hubfold.disk.hosts.holders import Holder
from hubfold.errors import HeldElsewhere

#: What is added to the name of what is locked.
SUFFIX = ".host"
#: Seconds between two heartbeats, and how long none came before a lock may be broken.
BEAT = 15.0
STILL = 120.0

#: How often it is tried, and how long is waited between, while a lock changes hands.
_TRIES = 200
_PAUSE = 0.005
#: What a rename says where a holder is in the folder; some servers refuse to replace an empty one too.
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EBUSY, errno.ESTALE})
#: What is said of a name, or of an open folder, that somebody took away meanwhile; NFS has a word of its own for it.
_GONE = frozenset({errno.ENOENT, errno.ESTALE})


class HostLock:
    """A lock that is held, until `release`; a thread keeps its heart beating."""

    def __init__(
        self, path: str, token: str, instead_of: Holder | None, broken: Callable[[], object] | None = None
    ) -> None:
        self.path = path
        #: The process that had it, and was gone.
        self.instead_of = instead_of
        #: Somebody broke the lock: nothing may be changed any more.
        self.lost = False
        self._token = token
        self._broken = broken
        self._over = threading.Event()
        threading.Thread(target=self._beat, name="hubfold-heartbeat", daemon=True).start()

    def release(self) -> None:
        """Let go of it; of a lock that was broken nothing is taken."""
        self._over.set()
        _take_out(self.path, self._token)

    def _beat(self) -> None:
        file = os.path.join(self.path, self._token)
        while not self._over.wait(BEAT):
            try:
                os.utime(file)
            except FileNotFoundError:
                self.lost = not self._over.is_set()
                if self.lost and self._broken is not None:
                    self._broken()
                return
            except OSError:
                continue  # a server that does not answer: whoever watches sees no heartbeat


class Beat(NamedTuple):
    """A heartbeat as it was seen: whose, and when by the server's clock, in ns."""

    token: str
    mtime_ns: int


def wanted(folder: str) -> bool:
    """Whether a lock in an existing folder has to hold between hosts."""
    return reaches_other_hosts(folder)


def take(path: str, command: str = "", broken: Callable[[], object] | None = None) -> HostLock:
    """Take the lock between hosts of `path`, in an existing folder, without waiting.

    `broken` is called, by the thread of the heartbeat, once somebody has broken the lock. Raises `HeldElsewhere`
    with its holder, `OSError`.
    """
    top, name = os.path.split(path + SUFFIX)
    me = holders.this_process(command)
    made = f"{name}.{me.token}"
    with Directory.open(top) as folder:
        try:
            _make(folder, made, me)
            instead_of = _put_in_place(folder, name, made, me)
        except BaseException:
            _empty(folder, made, me.token)
            raise
        _clear_unfinished(folder, name)
    return HostLock(path + SUFFIX, me.token, instead_of, broken)


@contextmanager
def held(path: str, command: str = "") -> Iterator[HostLock | None]:
    """`take` where it is `wanted`; None elsewhere."""
    lock = take(path, command) if wanted(os.path.dirname(path)) else None
    try:
        yield lock
    finally:
        if lock is not None:
            lock.release()


def holder_of(path: str) -> Holder | None:
    """Who holds the lock between hosts of `path`; None for nobody. Raises `OSError`."""
    found = _look(path + SUFFIX)
    return None if found is None else found[0]


def beat_of(path: str) -> Beat | None:
    """The last heartbeat of whoever holds the lock of `path`. Raises `OSError`."""
    found = _look(path + SUFFIX)
    return None if found is None else Beat(found[0].token, found[1])


def silent(before: dict[str, Beat], wait: Callable[[float], object]) -> list[str]:
    """Those of the locks whose heartbeat stood still for `STILL` seconds from now on; `wait` sleeps."""
    still = dict(before)
    end = time.monotonic() + STILL
    while still and (left := end - time.monotonic()) > 0:
        wait(min(left, BEAT / 3))
        still = {path: beat for path, beat in still.items() if beat_of(path) == beat}
    return list(still)


def clear_ended(path: str) -> None:
    """Take the lock of `path` away where its holder was a process of this boot that is gone."""
    with suppress(OSError):
        holder = holder_of(path)
        if holder is not None and holders.has_ended(holder.token):
            break_lock(path, holder.token)


def break_lock(path: str, token: str) -> bool:
    """Take this holder out of the lock of `path`, and no other; whether it was in it. Raises `OSError`."""
    return _take_out(path + SUFFIX, token, quietly=False)


def _make(folder: Directory, made: str, me: Holder) -> None:
    folder.mkdir(made, 0o700)
    with folder.child(made) as new:
        new.become_like(folder)  # whoever may work here may break it
        fd = new.create_file(me.token, 0o644)
        try:
            new.own_file(fd, noted=True)
            os.write(fd, me.as_text())
        finally:
            os.close(fd)


def _put_in_place(folder: Directory, name: str, made: str, me: Holder) -> Holder | None:
    """Rename the finished lock to its place; the holder that was gone and whose place it took."""
    instead_of = None
    path = os.path.join(folder.path, name)
    for _ in range(_TRIES):
        try:
            folder.rename(made, name)
        except OSError as error:
            refused: OSError | None = error
        else:
            refused = None
        found = _look(path)
        if found is not None and found[0].token == me.token:
            return instead_of  # also where the server did it, and its answer was lost
        if found is None:
            if refused is not None and refused.errno not in _TAKEN:
                raise refused
            with suppress(OSError):
                folder.rmdir(
                    name
                )  # a server may not replace an empty folder; one with a holder it does not remove
            time.sleep(_PAUSE)
        elif holders.has_ended(found[0].token):
            instead_of = found[0]
            _take_out(path, found[0].token)
        else:
            raise HeldElsewhere(path, found[0].line)
    raise HeldElsewhere(path, "several processes that take turns")


def _look(path: str) -> tuple[Holder, int] | None:
    """(holder, mtime in ns of its heartbeat) of a lock; None where nobody is in it. Raises `OSError`.

    The file is opened, since that has a network file system ask its server.
    """
    try:
        with _opened(path) as folder:
            for token in filter(holders.is_token, folder.names()):
                fd = folder.open_file(token)
                try:
                    return holders.told_by(token, os.read(fd, 4096)), os.fstat(fd).st_mtime_ns
                finally:
                    os.close(fd)
    except OSError as error:
        if error.errno not in _GONE:  # it let go of it meanwhile
            raise
    return None


@contextmanager
def _opened(path: str) -> Iterator[Directory]:
    """The folder of a lock, not followed where it is a symlink."""
    top, name = os.path.split(path)
    with Directory.open(top) as above, above.child(name) as folder:
        yield folder


def _take_out(path: str, token: str, *, quietly: bool = True) -> bool:
    """Take a holder out of a lock, and the lock away if nobody else is in it by now."""
    for _ in range(_TRIES):
        try:
            with _opened(path) as folder:
                folder.unlink(token)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.ESTALE:
                time.sleep(_PAUSE)  # another lock of this name went while it was opened
                continue
            if not quietly:
                raise
            return False
        with suppress(OSError):
            os.rmdir(path)
        return True
    return False


def _empty(folder: Directory, made: str, token: str) -> None:
    with suppress(OSError):
        with folder.child(made) as new, suppress(FileNotFoundError):
            new.unlink(token)
        folder.rmdir(made)


def _clear_unfinished(folder: Directory, name: str) -> None:
    """Remove what processes that are gone left while they took this lock; call it with the lock held."""
    for entry in folder.names():
        token = entry.removeprefix(f"{name}.")
        if token != entry and holders.is_token(token) and holders.has_ended(token):
            _empty(folder, entry, token)
