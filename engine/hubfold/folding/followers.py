"""Links that read a payload through objects of a vault: what has to follow it where it goes, so that these can go too.

An object is one more name of its payload and keeps the blocks. It may go once every link that needs it leads elsewhere.
Who needs it is seen as `vault/gc` sees it: by its list, and by every link below the roots that names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from hubfold import errors
from hubfold.content import IndexedReplica, Root
from hubfold.errors import LeftAlone
from hubfold.vault.links import points_at
from hubfold.vault.names import claims_of
from hubfold.vault.need import Here, Need, need, reads_another, why
from hubfold.vault.objects import NeededBy, read_links

#: (link, its text) of the links that name an object of a content, in whichever vault.
Naming = Callable[[str], Iterable[tuple[str, str]]]
#: The root that a link lies in, and its layout; None where none is known.
RootOf = Callable[[str, str], Root | None]


@dataclass(frozen=True, slots=True)
class Follower:
    """A link that reads `object`, by its text; `root` is that of the link."""

    link: str
    root: Root
    text: str
    object: str


@dataclass(frozen=True, slots=True)
class Around:
    """What this machine can see of links."""

    here: Here
    naming: Naming
    root_of: RootOf

    def again(self) -> Around:
        """The same with what is mounted by now."""
        return replace(self, here=self.here.again())

    def followers(self, object_: str) -> list[Follower]:
        """The links that need an object. Raises `LeftAlone` where one of them can not follow, or is not to be seen."""
        try:
            lines = read_links(object_)
        except OSError as error:
            raise LeftAlone(f"the list of {object_} cannot be read: {errors.describe(error)}") from error
        found = {line.link: line.root for line in lines if self._reads(object_, line)}
        for link, _ in self.naming(object_):
            if link not in found and not reads_another(link, object_):
                found[link] = ""
        return [self._follower(link, root, object_) for link, root in sorted(found.items())]

    def _reads(self, object_: str, line: NeededBy) -> bool:
        """Whether a noted link is there and needs the object. Raises `LeftAlone` where that cannot be seen."""
        needed = need(object_, line, self.here)
        if needed is Need.UNKNOWN:
            raise LeftAlone(f"{why(line, self.here)}: {object_} keeps its bytes where they are")
        return needed is Need.NEEDED

    def _follower(self, link: str, root: str, object_: str) -> Follower:
        if not points_at(link, object_):
            raise LeftAlone(f"{link} needs {object_}, and leads there by another way: it cannot follow")
        place = self.root_of(link, root)
        if place is None:
            raise LeftAlone(
                f"{link} needs {object_}, and lies in no root that is known (`hubfold roots add`)"
            )
        return Follower(link, place, os.readlink(link), object_)


def as_links(objects: Sequence[IndexedReplica], followers: Iterable[Follower]) -> tuple[IndexedReplica, ...]:
    """The links to a payload that has no name but `objects` of a vault, as all the names that it has."""
    first = objects[0]
    claims = {**claims_of(os.path.basename(first.path)), **first.claims}
    links = [_name(first, one.link, one.root, first.signature.mtime_ns) for one in followers]
    return tuple(link._replace(claims=claims, nlink=len(links)) for link in links)


def as_names(
    names: Sequence[IndexedReplica], followers: Iterable[Follower], objects: int
) -> tuple[IndexedReplica, ...]:
    """The names of a payload with its followers as further ones, in place of the `objects` that they read."""
    first = names[0]
    links = [_name(first, one.link, one.root, first.signature.mtime_ns) for one in followers]
    nlink = first.nlink - objects + len(links)
    return tuple(name._replace(nlink=nlink) for name in (*names, *links))


def _name(like: IndexedReplica, path: str, root: Root, latest_mtime_ns: int) -> IndexedReplica:
    """One more name of the payload of `like`: what reads it there believes no later mtime than it had."""
    return like._replace(
        path=path,
        root=root.path,
        backend=root.backend,
        links=None,
        pinned=False,
        latest_mtime_ns=latest_mtime_ns,
        revision=None,
    )
