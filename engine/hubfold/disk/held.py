"""A file that is held open while it is compared and swapped: its lease, and its attributes."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from hubfold.content import Signature
from hubfold.disk.directory import Directory
from hubfold.errors import LeftAlone

if sys.platform != "win32":  # pragma: no branch: the tests run on Linux
    import fcntl

#: What lets anybody write to a file.
WRITE_BITS = 0o222

_SIGURG = 23 if sys.platform == "linux" else 0


class Attributes(NamedTuple):
    """Mode, owner, times and extended attributes (ACLs are extended attributes on Linux)."""

    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    xattrs: Mapping[str, bytes]

    @classmethod
    def of(cls, fd: int) -> Attributes:
        st = os.fstat(fd)
        return cls(
            mode=stat.S_IMODE(st.st_mode),
            uid=st.st_uid,
            gid=st.st_gid,
            atime_ns=st.st_atime_ns,
            mtime_ns=st.st_mtime_ns,
            xattrs=read_xattrs(fd),
        )

    def give_to(self, fd: int) -> None:
        """Set all of them, and no other; the times last, as the others touch ctime only. `OSError` if one is refused.

        What the folder gave the new file by itself (an ACL, properties of the file system) goes again.
        """
        now = os.fstat(fd)
        if sys.platform != "win32" and (now.st_uid, now.st_gid) != (self.uid, self.gid):
            os.fchown(fd, self.uid, self.gid)
        present = read_xattrs(fd)
        for name, value in self.xattrs.items():
            # What the file system gave the new file by itself (a security label) needs no right to be set again.
            if present.get(name) != value:
                os.setxattr(fd, name, value)
        for name in present.keys() - self.xattrs.keys():
            _remove_xattr(fd, name)
        set_mode(fd, self.mode)
        os.utime(fd, ns=(self.atime_ns, self.mtime_ns))


def _remove_xattr(fd: int, name: str) -> None:
    try:
        os.removexattr(fd, name)
    except OSError as error:
        # A label that the kernel gives every file is not taken away.
        if not (name.startswith("security.") or error.errno == errno.ENODATA):
            raise


def set_mode(fd: int, mode: int) -> None:
    """Set the mode of an open file, where the platform can do that by descriptor."""
    if hasattr(os, "fchmod"):
        os.fchmod(fd, mode)


def read_xattrs(fd: int) -> dict[str, bytes]:
    """Extended attributes by name; empty where the file system has none."""
    if not hasattr(os, "listxattr"):
        return {}
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM):
            return {}
        raise
    found: dict[str, bytes] = {}
    for name in names:
        with suppress(OSError):  # removed meanwhile, or not ours to read (security.*)
            found[name] = os.getxattr(fd, name)
    return found


class Lease:
    """A read lease: while it is whole, nobody has the file open for writing, nor mapped writable (fcntl(2)).

    The kernel makes a writer wait until we let go (45 s at the most), so it is asked often whether one is waiting.
    Not every file system grants leases; then `held` is False and the signatures must do.
    """

    __slots__ = ("_fd", "held")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.held = False
        if sys.platform != "linux":
            return
        try:
            # SIGURG is ignored by default; the SIGIO that leases send otherwise would end the process.
            fcntl.fcntl(fd, fcntl.F_SETSIG, _SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise LeftAlone("a program has it open for writing") from None
            return
        self.held = True

    @property
    def wanted(self) -> bool:
        """Whether a program is waiting to write to the file."""
        return self.held and fcntl.fcntl(self._fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK

    def release(self) -> None:
        if self.held:
            self.held = False
            with suppress(OSError):
                fcntl.fcntl(self._fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


class HeldFile:
    """A regular file opened through its directories, with its signature checked and a read lease where there is one."""

    __slots__ = ("attributes", "directory", "fd", "lease", "name", "path", "signature")

    def __init__(
        self, root: str, path: str, expected: Signature | None = None, *, lease: bool = True
    ) -> None:
        """Raises `LeftAlone` if it is not what `expected` says, no regular file, or open for writing; `OSError`."""
        self.path = path
        self.directory, self.name = Directory.parent_of(root, path)
        self.fd = -1
        self.lease: Lease | None = None
        try:
            try:
                self.fd = self.directory.open_file(self.name)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise LeftAlone("it is a symlink now") from None
                raise
            st = os.fstat(self.fd)
            if not stat.S_ISREG(st.st_mode):
                raise LeftAlone("it is no regular file")
            self.signature = Signature.of(st)
            if expected is not None and self.signature != expected:
                raise LeftAlone("it changed since it was scanned")
            if lease:
                self.lease = Lease(self.fd)
            self.attributes = Attributes.of(self.fd)
        except BaseException:
            self.close()
            raise

    def is_here(self, directory: Directory, name: str) -> bool:
        """Whether that name is this very file, with the size and mtime it was held with.

        ctime is left out: our own link and rename calls move it.
        """
        st = directory.lstat_or_none(name)
        return st is not None and self._same(st)

    def unchanged(self) -> bool:
        """Whether the open file still has its size and mtime, and nobody waits to write to it."""
        return self._same(os.fstat(self.fd)) and not self.write_wanted

    @property
    def write_wanted(self) -> bool:
        return self.lease is not None and self.lease.wanted

    def _same(self, st: os.stat_result) -> bool:
        now = Signature.of(st)
        return stat.S_ISREG(st.st_mode) and now[:4] == self.signature[:4]

    def close(self) -> None:
        if self.lease is not None:
            self.lease.release()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.directory.close()
