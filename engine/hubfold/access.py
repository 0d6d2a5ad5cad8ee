"""Who may read a file or pass a folder, as data that can be compared.

It is asked of classes, not of the users that a machine happens to have: an owner, named users, groups, everybody else,
by mode and by access ACL (acl(5)). root may do everything and is left out. Pure: `disk.permissions` looks at disks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from typing import TypeAlias

READ, SEARCH = 4, 1

#: The extended attributes that hold a file's ACL, and the one that its folder gives to what is made in it.
ACL = "system.posix_acl_access"
DEFAULT_ACL = "system.posix_acl_default"

# linux/posix_acl_xattr.h: a version (2), then tag, permissions and id of each entry, little-endian.
_ACL_HEADER, _ACL_ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20

#: A user who is none of those that are named.
SOMEBODY = -1
#: So many groups are held against each other in every combination; with more, what is not plainly the same differs.
_GROUPS = 8


@dataclass(frozen=True)
class Permissions:
    """What the classes of users may do with one file or folder: 4 to read, 2 to write, 1 to pass.

    Those of named users and of groups are masked already.
    """

    uid: int
    owner: int
    #: (uid, permissions) of each named user.
    users: tuple[tuple[int, int], ...]
    #: (gid, permissions): the owning group, then the named ones.
    groups: tuple[tuple[int, int], ...]
    other: int
    #: Where it lies, for telling people.
    path: str = field(default="", compare=False)

    @classmethod
    def of(cls, uid: int, gid: int, mode: int, acl: bytes | None = None, path: str = "") -> Permissions:
        """From what `stat` and the ACL's extended attribute say; an ACL that cannot be understood is none."""
        bits = mode >> 6 & 7, mode >> 3 & 7, mode & 7
        if acl is None:
            return cls(uid, bits[0], users=(), groups=((gid, bits[1]),), other=bits[2], path=path)
        try:
            entries = list(_entries(acl))
        except struct.error:
            entries = []
        mask = next((may for tag, may, _ in entries if tag == _MASK), 7)
        group = next((may & mask for tag, may, _ in entries if tag == _GROUP_OBJ), bits[1])
        named = [(gid, group), *((id_, may & mask) for tag, may, id_ in entries if tag == _GROUP)]
        users = tuple(sorted((id_, may & mask) for tag, may, id_ in entries if tag == _USER))
        return cls(uid, bits[0], users=users, groups=tuple(sorted(named)), other=bits[2], path=path)

    @property
    def everybody(self) -> int:
        """What every user may do, whoever it is."""
        may = self.other & (self.owner if self.uid != 0 else 7)
        for _, bits in (*self.users, *self.groups) if self.users else self.groups:
            may &= bits
        return may

    def permit(self, person: Person, what: int) -> bool:
        """Whether `person` may do it: the first class that one belongs to decides, of the groups any."""
        uid, groups = person
        if uid == self.uid:
            return bool(self.owner & what)
        for named, bits in self.users:
            if named == uid:
                return bool(bits & what)
        mine = [bits for gid, bits in self.groups if gid in groups]
        return any(bits & what for bits in mine) if mine else bool(self.other & what)


def _entries(acl: bytes) -> Iterator[tuple[int, int, int]]:
    if acl:
        yield from _ACL_ENTRY.iter_unpack(acl[_ACL_HEADER.size :])


#: A user, or `SOMEBODY`, and those of the groups in question that one is in.
Person: TypeAlias = tuple[int, frozenset[int]]
#: Groups that nobody but one user is in: (gid, uid).
Alone: TypeAlias = frozenset[tuple[int, int]]
#: Whoever all of these permit what is asked of each.
Readers: TypeAlias = frozenset[tuple[Permissions, int]]


@dataclass(frozen=True, slots=True)
class Way:
    """The folders above the names in a folder, from the top, that not everybody may pass."""

    folders: tuple[Permissions, ...] = ()
    #: The owner of the innermost one where everybody may write to it but remove only what is his own (as /tmp): there
    #: the kernel follows a symlink for its owner only, unless it is the folder's owner's (fs.protected_symlinks).
    sticky: int | None = None

    @classmethod
    def through(cls, folders: Iterable[Permissions], sticky: int | None = None) -> Way:
        return cls(tuple(one for one in folders if not one.everybody & SEARCH), sticky)

    def __add__(self, other: Way) -> Way:
        """What is read at the end of a link: its own way has to be gone too."""
        return Way(tuple(dict.fromkeys(self.folders + other.folders)))


#: Everybody gets there.
OPEN = Way()
#: Nobody has to be permitted anything.
EVERYBODY: Readers = frozenset()


def readers(file: Permissions, way: Way = OPEN) -> Readers:
    """Who may read a file that is reached by `way`."""
    if not way.folders and file.everybody & READ:
        return EVERYBODY
    found = [(folder, SEARCH) for folder in way.folders]
    return frozenset(found if file.everybody & READ else [*found, (file, READ)])


@lru_cache(maxsize=1 << 12)
def shut_out(some: Readers, others: tuple[Readers, ...], alone: Alone = frozenset()) -> Person | None:
    """Somebody who is one of `some` and not of any of `others`, None if there cannot be one."""
    if some in others or any(one <= some for one in others):
        return None
    involved = frozenset[tuple[Permissions, int]]().union(some, *others)
    only = dict(alone)
    gids = {gid for permissions, _ in involved for gid, _ in permissions.groups if only.get(gid) != 0}
    if len(gids) > _GROUPS:
        return SOMEBODY, frozenset()
    uids = {permissions.uid for permissions, _ in involved}
    uids |= {uid for permissions, _ in involved for uid, _ in permissions.users}
    uids |= {only[gid] for gid in gids if gid in only}
    for uid in [*sorted(uids - {0}), SOMEBODY]:
        for groups in _subsets(sorted(gid for gid in gids if only.get(gid, uid) == uid)):
            person = uid, groups
            if _is_one(person, some) and not any(_is_one(person, one) for one in others):
                return person
    return None


def _subsets(gids: list[int]) -> Iterator[frozenset[int]]:
    for size in range(len(gids) + 1):
        yield from map(frozenset, combinations(gids, size))


def _is_one(person: Person, of: Readers) -> bool:
    return all(permissions.permit(person, what) for permissions, what in of)


def stopped_by(person: Person, of: Readers) -> Permissions | None:
    """What keeps somebody from being one of these."""
    return next((one for one, what in sorted(of, key=_place) if not one.permit(person, what)), None)


def _place(one: tuple[Permissions, int]) -> str:
    return one[0].path


#: More than any number of users and groups that permissions name.
_ALL = 1_000_000


@lru_cache(maxsize=1 << 12)
def breadth(of: Readers) -> int:
    """A measure of how many may: where some may read and more may not, it is larger. For ranking; it proves nothing."""
    uids = {permissions.uid for permissions, _ in of} | {uid for one, _ in of for uid, _ in one.users}
    gids = {gid for permissions, _ in of for gid, _ in permissions.groups}
    users = sum(_is_one((uid, frozenset()), of) for uid in uids - {0})
    groups = sum(_is_one((SOMEBODY, frozenset({gid})), of) for gid in gids)
    if _is_one((SOMEBODY, frozenset()), of):
        return _ALL - len(uids - {0}) - len(gids) + users + groups
    return 100 * groups + users


def named(person: Person) -> str:
    """A person as reasons call him."""
    uid, groups = person
    if uid != SOMEBODY:
        return f"user {uid}"
    return f"members of group {min(groups)}" if groups else "other users"
