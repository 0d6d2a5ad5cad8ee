"""Directories held open, and the calls on names in them that hubfold's safety rests on.

Whatever is changed outside of hubfold's own state is changed by these calls, or through a descriptor that they gave.
Names are acted on through open directories, so that nobody can swap a parent under us; files are opened with
``O_NOFOLLOW``. Where a platform lacks a call, a function says so and the caller leaves the path alone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile

from hubfold.access import ACL, DEFAULT_ACL
from hubfold.disk import open_flags
from hubfold.disk.paths import upwards
from hubfold.errors import AllNamesTaken, LeftAlone

_HAS_DIR_FD = os.open in os.supports_dir_fd and os.link in os.supports_dir_fd

#: There is no such attribute, or there are none at all.
_NO_XATTR = (errno.ENODATA, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTSUP)

#: What new folders, files that hold content and files that are noted in have of the bits of the folder that they are
#: made in: never that everybody may write.
_OF_FOLDERS = stat.S_ISGID | 0o075
_OF_CONTENT = 0o044
_OF_NOTES = 0o064

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
        return cls._down(root, _parts_below(root, folder), make=True)

    @classmethod
    def parent_of(cls, root: str, path: str) -> tuple[Directory, str]:
        """The directory of `path` and its last component, opened one component at a time below `root`.

        No component below `root` may be a symlink (`LeftAlone` says which), so that neither a planted link nor a
        swapped parent can lead outside.
        """
        parts = _parts_below(root, path)
        if not parts:
            raise LeftAlone(f"{path} does not lie below {root}")
        return cls._down(root, parts[:-1], make=False), parts[-1]

    @classmethod
    def _down(cls, root: str, parts: Sequence[str], *, make: bool) -> Directory:
        here = cls.open(root)
        for part in parts:
            try:
                deeper = here._enter(part, make=make)
            finally:
                here.close()
            here = deeper
        return here

    def _enter(self, name: str, *, make: bool) -> Directory:
        made = make and self.mkdir(name)
        try:
            deeper = self.child(name)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                any_more = "" if make else " any more"
                raise LeftAlone(f"{os.path.join(self.path, name)} is no directory{any_more}") from None
            raise
        if made:
            deeper.give_to_owner_of(self)
            if deeper._fd is not None:
                self._share(deeper._fd, _OF_FOLDERS)
            self.sync()
        return deeper

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

    def create_file(self, name: str, mode: int = 0o600, *, append: bool = False) -> int:
        """A descriptor for writing a file that did not exist; with `append`, always behind what is in it by then."""
        flags = open_flags.CREATE | (os.O_APPEND if append else 0)
        return os.open(self._name(name), flags, mode, dir_fd=self._fd)

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
        """A hard link `name` here of a file there; a symlink there would be linked itself, so check what came.

        Raises `AllNamesTaken` where the file can get no more names, `OSError`.
        """
        try:
            os.link(
                source._name(source_name),
                self._name(name),
                src_dir_fd=source._fd,
                dst_dir_fd=self._fd,
                follow_symlinks=not _HAS_DIR_FD,
            )
        except OSError as error:
            if error.errno == errno.EMLINK:
                raise AllNamesTaken(error.errno, error.strerror, os.path.join(self.path, name)) from None
            raise

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

    def mkdir(self, name: str, mode: int = 0o777) -> bool:
        """Make a sub-directory; False where it was there already."""
        try:
            os.mkdir(self._name(name), mode=mode, dir_fd=self._fd)
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

    def become_like(self, other: Directory) -> None:
        """Give this directory the group, mode and ACLs of `other`, whatever the umask and the folder above it say.

        As root, its owner too. Where its group cannot be had, no other group gets the rights of that one.
        """
        if self._fd is None or other._fd is None:
            return
        st, now = other.stat(), self.stat()
        mode = stat.S_IMODE(st.st_mode)
        try:
            if privileged():
                os.chown(self._fd, st.st_uid, st.st_gid)
            elif st.st_gid != now.st_gid:
                os.chown(self._fd, -1, st.st_gid)
        except PermissionError:
            mode &= ~(stat.S_IRWXG | stat.S_ISGID)
        for name in (ACL, DEFAULT_ACL):
            _copy_xattr(other._fd, self._fd, name)
        os.chmod(self._fd, mode)

    def own_file(self, fd: int, *, noted: bool = False) -> None:
        """Let a file that was made here be read by whom this directory is open to, whatever the umask says.

        One that is `noted` in, as lists and locks are, may be written by the group that may write here. As root, it
        belongs to whom this directory belongs to.
        """
        if self._fd is None:
            return
        if privileged():
            st = self.stat()
            os.fchown(fd, st.st_uid, st.st_gid)
        self._share(fd, _OF_NOTES if noted else _OF_CONTENT)

    def _share(self, fd: int, bits: int) -> None:
        """Give what was made here the group of this directory, and those of its `bits` that it lacks; none for a group
        that is another one."""
        if not hasattr(os, "fchmod"):
            return
        st, now = self.stat(), os.fstat(fd)
        if now.st_gid != st.st_gid:
            with suppress(PermissionError):
                os.fchown(fd, -1, st.st_gid)
            now = os.fstat(fd)
        if now.st_gid != st.st_gid:
            bits &= ~(stat.S_IRWXG | stat.S_ISGID)
        mode = stat.S_IMODE(now.st_mode) | st.st_mode & bits
        if mode != stat.S_IMODE(now.st_mode):
            os.fchmod(fd, mode)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.path if self._fd is None else self._fd))

    def sync(self) -> None:
        """fsync the directory, so that names made in it outlive a power cut."""
        if self._fd is not None:
            os.fsync(self._fd)


def _copy_xattr(source: int, target: int, name: str) -> None:
    """Give `target` the extended attribute that `source` has, or none where it has none."""
    if not hasattr(os, "getxattr"):
        return
    try:
        os.setxattr(target, name, os.getxattr(source, name))
    except OSError as error:
        if error.errno not in _NO_XATTR:
            raise
        try:
            os.removexattr(target, name)
        except OSError as second:
            if second.errno not in _NO_XATTR:
                raise


def make_folder_like(path: str, like: str) -> None:
    """Make `path`, durable, with the permissions of the folder `like`: who gets into that one gets into the new one.

    One that is there and holds nothing is given them too: a crash may have come before.
    """
    top, name = os.path.split(path)
    with Directory.open(top) as parent:
        made = parent.mkdir(name, 0o700)
        with parent.child(name) as folder, Directory.open(like) as other:
            if made or (folder.stat().st_mode != other.stat().st_mode and not folder.names()):
                folder.become_like(other)
                parent.sync()


def make_folders(path: str) -> list[str]:
    """Make `path` and what is missing above it, each durable before the next; the new ones, outermost first."""
    missing = takewhile(lambda folder: not os.path.isdir(folder), upwards(path))
    made: list[str] = []
    for folder in reversed(list(missing)):
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


def _parts_below(root: str, path: str) -> list[str]:
    """The components of `path` from `root` on; `LeftAlone` if it does not lie there."""
    relative = os.path.relpath(path, root)
    parts = relative.split(os.sep)
    if os.path.isabs(relative) or os.pardir in parts:
        raise LeftAlone(f"{path} does not lie below {root}")
    return [] if relative == os.curdir else parts
