"""Looks at who may read files and pass folders: modes, owners, ACLs, and which groups one user has to himself."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache

from hubfold.access import ACL, Permissions, Way
from hubfold.disk.held import Attributes

if sys.platform != "win32":
    import grp
    import pwd

#: Extended attributes that only who may act for others can set; what the kernel itself gives to a new file is not one.
_NOT_OURS = ("security.", "trusted.")
_GIVEN = ("security.selinux",)


def of_path(path: str, *, follow: bool = True) -> Permissions:
    """Who may do what with the file or folder at `path`. `OSError` if it cannot be looked at."""
    st = os.stat(path, follow_symlinks=follow)
    return Permissions.of(st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode), _acl(path), path)


def of_file(path: str) -> Permissions:
    """`of_path` of a file, without its path: what very many files have in common is looked at as one."""
    st = os.stat(path)
    return _shared(st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode), _acl(path))


_shared = lru_cache(1 << 12)(Permissions.of)


def of_attributes(attributes: Attributes, path: str) -> Permissions:
    """The same of a file that is held open."""
    acl = attributes.xattrs.get(ACL)
    return Permissions.of(attributes.uid, attributes.gid, attributes.mode, acl, path)


def _acl(path: str) -> bytes | None:
    if not hasattr(os, "getxattr"):
        return None
    try:
        return os.getxattr(path, ACL)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP, errno.ENOSYS):
            return None
        raise


class Ways:
    """The ways to folders, each folder looked at once."""

    def __init__(self) -> None:
        self._folders: dict[str, Permissions] = {}
        self._ways: dict[str, Way] = {}

    def to(self, folder: str) -> Way:
        """Who gets to the names in `folder`. `OSError` if a folder on the way cannot be looked at."""
        if folder not in self._ways:
            self._ways[folder] = self._look(os.path.realpath(folder))
        return self._ways[folder]

    def _look(self, real: str) -> Way:
        above = [real]
        while above[-1] != os.path.dirname(above[-1]):
            above.append(os.path.dirname(above[-1]))
        for folder in above:
            if folder not in self._folders:
                self._folders[folder] = of_path(folder)
        st = os.stat(real)
        sticky = st.st_uid if st.st_mode & stat.S_ISVTX and st.st_mode & stat.S_IWOTH else None
        return Way.through([self._folders[folder] for folder in reversed(above)], sticky)

    def to_new(self, folder: str, like: str) -> Way:
        """As `to`, of a folder of which a part may not be there yet: that will have the permissions of `like`."""
        new = []
        while not os.path.isdir(folder):
            new.append(folder)
            folder = os.path.dirname(folder)
        way = self.to(folder)
        return way + Way.through([of_path(like)] if new else [])


def alone(permissions: Permissions) -> frozenset[tuple[int, int]]:
    """Those of its groups that nobody is in but one user: (gid, uid)."""
    found = {gid: only_user(gid) for gid, _ in permissions.groups}
    return frozenset((gid, uid) for gid, uid in found.items() if uid is not None)


@cache
def only_user(gid: int) -> int | None:
    """The user whose own group this is: of his name, his primary one, and with nobody else in it.

    A group that is not plainly one user's is anybody's: directory services need not list who is in it.
    """
    if sys.platform == "win32":
        return None
    try:
        group = grp.getgrgid(gid)
        user = pwd.getpwnam(group.gr_name)
        others = [
            other.pw_uid for other in pwd.getpwall() if other.pw_gid == gid and other.pw_uid != user.pw_uid
        ]
    except (KeyError, OSError):
        return None
    mine = user.pw_gid == gid and not set(group.gr_mem) - {group.gr_name} and not others
    return user.pw_uid if mine else None


def groups() -> tuple[int, frozenset[int]] | None:
    """(user, groups) that this process makes files for; None where it may make them for anybody."""
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        return None
    return os.geteuid(), frozenset((os.getegid(), *os.getgroups()))


def not_ours_to_set(path: str) -> str | None:
    """An extended attribute of a file that only who may act for others could give it again."""
    if not hasattr(os, "listxattr"):
        return None
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM):
            return None
        raise
    return next((n for n in sorted(names) if n.startswith(_NOT_OURS) and n not in _GIVEN), None)


@contextmanager
def open_as(folder: str) -> Iterator[None]:
    """Let what this process makes meanwhile be as open as `folder` is, whatever the umask takes; never for everybody to
    write. Nothing changes where there is no such folder. It is the umask of all threads."""
    try:
        mode = stat.S_IMODE(os.stat(folder).st_mode)
    except OSError:
        yield
        return
    before = os.umask(0o077)
    os.umask(before & ~(mode & 0o075))
    try:
        yield
    finally:
        os.umask(before)
