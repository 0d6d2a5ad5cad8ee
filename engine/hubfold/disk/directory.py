"""The file-system calls that hubfold's safety rests on.

Only this module, `comparing` and `extents` beside it, and their callers (`executor`, `undo`, `recovery`, `removal`,
`farm`, `vault` …) change anything outside hubfold's own state. Names are acted on through open directories, so that
nobody can swap a parent under us; files are opened with ``O_NOFOLLOW``. Where a platform lacks a call, a function says
so and the caller leaves the path alone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from hubfold.content import Signature
from hubfold.disk import open_flags
from hubfold.errors import LeftAlone

if sys.platform != "win32":  # pragma: no branch: the tests run on Linux
    import fcntl

_HAS_DIR_FD = os.open in os.supports_dir_fd and os.link in os.supports_dir_fd

_RENAME_EXCHANGE = 2  # linux/fs.h; RENAME_SWAP of macOS's renameatx_np has the same value
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform != "win32" else None


class Directory:
    """An open directory; every name given to it is a single component in it."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str, fd: int | None) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def open(cls, path: str) -> Directory:
        """Open `path`, following symlinks in it: for directories that the user named."""
        if not _HAS_DIR_FD:
            os.scandir(path).close()
            return cls(path, None)
        return cls(path, os.open(path, open_flags.DIRECTORY))

    @classmethod
    def make_below(cls, root: str, folder: str) -> Directory:
        """Open `folder`, with what is missing of it below `root` made and durable; no component may be a symlink."""
        relative = os.path.relpath(folder, root)
        if os.path.isabs(relative) or os.pardir in relative.split(os.sep):
            raise LeftAlone(f"{folder} does not lie below {root}")
        here = cls.open(root)
        for part in [] if relative == os.curdir else relative.split(os.sep):
            try:
                made = here.mkdir(part)
                try:
                    deeper = here.child(part)
                except OSError as error:
                    if error.errno in (errno.ELOOP, errno.ENOTDIR):
                        raise LeftAlone(f"{os.path.join(here.path, part)} is no directory") from None
                    raise
                if made:
                    deeper.give_to_owner_of(here)
                    here.sync()
            finally:
                here.close()
            here = deeper
        return here

    @classmethod
    def parent_of(cls, root: str, path: str) -> tuple[Directory, str]:
        """The directory of `path` and its last component, opened one component at a time below `root`.

        No component below `root` may be a symlink (`LeftAlone` says which), so that neither a planted link nor a
        swapped parent can lead outside.
        """
        relative = os.path.relpath(path, root)
        parts = relative.split(os.sep)
        if os.path.isabs(relative) or os.pardir in parts or relative == os.curdir:
            raise LeftAlone(f"{path} does not lie below {root}")
        here = cls.open(root)
        for part in parts[:-1]:
            try:
                deeper = here.child(part)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise LeftAlone(f"{os.path.join(here.path, part)} is no directory any more") from None
                raise
            finally:
                here.close()
            here = deeper
        return here, parts[-1]

    def child(self, name: str) -> Directory:
        """A sub-directory, not followed if it is a symlink."""
        path = os.path.join(self.path, name)
        if self._fd is None:
            if os.path.islink(path):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            return Directory(path, None)
        fd = os.open(name, open_flags.DIRECTORY | open_flags.NOFOLLOW, dir_fd=self._fd)
        return Directory(path, fd)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _name(self, name: str) -> str:
        return name if self._fd is not None else os.path.join(self.path, name)

    def stat(self) -> os.stat_result:
        return os.stat(self.path if self._fd is None else self._fd)

    def lstat(self, name: str) -> os.stat_result:
        return os.stat(self._name(name), dir_fd=self._fd, follow_symlinks=False)

    def lstat_or_none(self, name: str) -> os.stat_result | None:
        """`lstat`, None where there is no such name (and only then)."""
        try:
            return self.lstat(name)
        except FileNotFoundError:
            return None

    def stat_through(self, name: str) -> os.stat_result:
        """What a program sees that opens `name`: symlinks followed."""
        return os.stat(self._name(name), dir_fd=self._fd)

    def open_file(self, name: str) -> int:
        """A descriptor for reading; a symlink is refused (ELOOP)."""
        return os.open(self._name(name), open_flags.READ | open_flags.NOFOLLOW, dir_fd=self._fd)

    def create_file(self, name: str, mode: int = 0o600) -> int:
        """A descriptor for writing a file that did not exist."""
        return os.open(self._name(name), open_flags.CREATE, mode, dir_fd=self._fd)

    def append_file(self, name: str, mode: int = 0o644) -> int:
        """A descriptor that appends to `name`, made if missing."""
        return os.open(self._name(name), open_flags.APPEND, mode, dir_fd=self._fd)

    def readlink(self, name: str) -> str:
        return os.readlink(self._name(name), dir_fd=self._fd)

    def symlink(self, text: str, name: str, owner: tuple[int, int] | None = None) -> None:
        """A symlink; as root it is given to `owner` (uid, gid), who may have to remove it from a sticky folder."""
        os.symlink(text, self._name(name), dir_fd=self._fd)
        if owner is not None and privileged():
            os.chown(self._name(name), *owner, dir_fd=self._fd, follow_symlinks=False)

    def link_from(self, source: Directory, source_name: str, name: str) -> None:
        """A hard link `name` here of a file there; a symlink there would be linked itself, so check what came."""
        os.link(
            source._name(source_name),
            self._name(name),
            src_dir_fd=source._fd,
            dst_dir_fd=self._fd,
            follow_symlinks=not _HAS_DIR_FD,
        )

    def rename(self, old: str, new: str) -> None:
        """Replaces `new` atomically."""
        os.replace(self._name(old), self._name(new), src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def move(self, name: str, target: Directory, new: str) -> None:
        """Give a file or folder a name in another directory of the file system, where nothing has that name."""
        if target.lstat_or_none(new) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.path.join(target.path, new))
        os.rename(self._name(name), target._name(new), src_dir_fd=self._fd, dst_dir_fd=target._fd)

    def exchange(self, one: str, other: str) -> None:
        """Swap two names atomically; `OSError` with EINVAL or ENOSYS where file system or platform cannot."""
        call = getattr(_libc, "renameat2", None) or getattr(_libc, "renameatx_np", None)
        if call is None or self._fd is None:
            raise OSError(errno.ENOSYS, "no atomic exchange of names on this platform")
        if call(self._fd, os.fsencode(one), self._fd, os.fsencode(other), _RENAME_EXCHANGE) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), os.path.join(self.path, other))

    def unlink(self, name: str) -> None:
        os.unlink(self._name(name), dir_fd=self._fd)

    def mkdir(self, name: str) -> bool:
        """Make a sub-directory; False where it was there already."""
        try:
            os.mkdir(self._name(name), dir_fd=self._fd)
        except FileExistsError:
            return False
        return True

    def rmdir(self, name: str) -> None:
        os.rmdir(self._name(name), dir_fd=self._fd)

    def give_to_owner_of(self, other: Directory) -> None:
        """As root, let this directory belong to whom `other` belongs to."""
        if privileged() and self._fd is not None:
            st = other.stat()
            os.chown(self._fd, st.st_uid, st.st_gid)

    def own_file(self, fd: int) -> None:
        """As root, let a file that was made here belong to whom this directory belongs to."""
        if privileged() and self._fd is not None:
            st = self.stat()
            os.fchown(fd, st.st_uid, st.st_gid)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.path if self._fd is None else self._fd))

    def sync(self) -> None:
        """fsync the directory, so that names made in it outlive a power cut."""
        if self._fd is not None:
            os.fsync(self._fd)


#: renameat2 with RENAME_EXCHANGE: file systems that cannot say one of these.
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

#: Added to a temporary's name for the displaced file where names cannot be exchanged.
SPARE_SUFFIX = "~"
#: Added to the name of a copy that is being written. It is never exchanged with anything, so no user's file gets it.
UNFINISHED = "+"


def swap_in(directory: Directory, temporary: str, name: str) -> str:
    """Put `temporary` in the place of `name`, which is at no instant missing; the name the displaced file has now.

    Names are exchanged where that is possible; else the displaced file gets a second name before it is renamed over.
    """
    try:
        directory.exchange(temporary, name)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
    else:
        return temporary
    spare = temporary + SPARE_SUFFIX
    directory.link_from(directory, name, spare)
    try:
        directory.rename(temporary, name)
    except OSError:
        directory.unlink(spare)
        raise
    return spare


def swap_back(
    directory: Directory, temporary: str, name: str, displaced: str, *, ours: Callable[[str], bool]
) -> None:
    """Take a `swap_in` back: the displaced file has its name again, and what was put in its place is gone.

    `ours` tells whether a name is what was put in place. Raises `LeftAlone` if somebody put something else there since:
    that stays, and the displaced file beside it.
    """
    if displaced == temporary:
        directory.exchange(temporary, name)
        if ours(temporary):
            directory.unlink(temporary)
        elif directory.lstat_or_none(temporary) is not None:
            directory.exchange(temporary, name)
            raise LeftAlone(f"the file as it was before is at {temporary} beside it")
    else:
        if directory.lstat_or_none(name) is not None and not ours(name):
            # Without an exchange, it would be renamed over.
            raise LeftAlone(f"the file as it was before is at {displaced} beside it")
        directory.rename(displaced, name)


def make_folders(path: str) -> list[str]:
    """Make `path` and what is missing above it, each durable before the next; the new ones, outermost first."""
    missing: list[str] = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    made: list[str] = []
    for folder in reversed(missing):
        with Directory.open(os.path.dirname(folder)) as parent:
            if parent.mkdir(os.path.basename(folder)):
                made.append(folder)
                with parent.child(os.path.basename(folder)) as new:
                    new.give_to_owner_of(parent)
            parent.sync()
    return made


def remove_tree(directory: Directory, name: str) -> int:
    """Remove a folder that hubfold has taken out of the user's sight, with everything in it.

    Returns what its folders took, in bytes by allocated blocks. Symlinks in it are removed, not followed.
    """
    freed = directory.lstat(name).st_blocks * 512
    with directory.child(name) as folder:
        for entry in folder.names():
            if stat.S_ISDIR(folder.lstat(entry).st_mode):
                freed += remove_tree(folder, entry)
            else:
                folder.unlink(entry)
    directory.rmdir(name)
    return freed


def privileged() -> bool:
    """Whether we can act for other users: what we make then has to belong to them, or they cannot use it."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


# -- what a file is besides its bytes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attributes:
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
            stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_atime_ns, st.st_mtime_ns, read_xattrs(fd)
        )

    def give_to(self, fd: int) -> None:
        """Set all of them; the times last, since the others touch ctime only. `OSError` if one is refused."""
        now = os.fstat(fd)
        if sys.platform != "win32" and (now.st_uid, now.st_gid) != (self.uid, self.gid):
            os.fchown(fd, self.uid, self.gid)
        present = read_xattrs(fd)
        for name, value in self.xattrs.items():
            # What the file system gave the new file by itself (a security label) needs no right to be set again.
            if present.get(name) != value:
                os.setxattr(fd, name, value)
        set_mode(fd, self.mode)
        os.utime(fd, ns=(self.atime_ns, self.mtime_ns))


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


# -- leases --------------------------------------------------------------------------------------------------------


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


_SIGURG = 23 if sys.platform == "linux" else 0


# -- a file held while it is acted on --------------------------------------------------------------------------------


class Held:
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


# -- errors as people read them --------------------------------------------------------------------------------------

OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})

_PLAIN = {
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "no space left on the file system",
    errno.EDQUOT: "the disk quota is used up",
    errno.EIO: "the drive reported an error",
    errno.ENOENT: "it is gone",
    errno.EMLINK: "the file system allows no more hard links to this file",
    errno.EXDEV: "the file system does not link between these two places",
    errno.EOPNOTSUPP: "the file system does not support it",
    errno.ENOSYS: "the system does not support it",
}


def describe(error: BaseException) -> str:
    """One phrase for a person; the system's own words where there is nothing better."""
    if isinstance(error, OSError) and error.errno is not None:
        return _PLAIN.get(error.errno, error.strerror or str(error))
    return str(error)
