"""Where the paths may lie that a plugin names: below the root that it was asked about.

Twofold: by their text, and on the disk, where no folder on the way from the root may be a symlink (one may be removed,
never followed). How the disk is asked is handed in (`Disk`, which the engine has in `hubfold.disk.bounds`): this room
touches none. Raises `Unfit`, with the path.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Protocol

from hubfold.backend.answers import Unfit, is_below

if TYPE_CHECKING:
    from hubfold.backend.changes import ModelPart, Removal
    from hubfold.content import Replica, Snapshot

#: Folders above a root that hubfold's own layouts may have a lock or a vault in: a root can be a part of a cache
#: (``<cache>/<store>/<shelf>``), whose locks and whose place for a vault lie beside it.
ABOVE = 3
#: So many links of a layout may lie behind each other.
DEEP = 4


class Way(Protocol):
    """How the disk leads from one root to what is below it."""

    def link_on_the_way(self, path: str, *, itself: bool = False) -> str:
        """The first symlink among the folders that lead to `path` (or is it, with `itself`), "" where there is none."""
        ...


class Disk(Protocol):
    """What only the disk can tell of a path."""

    def below(self, root: str) -> Way: ...

    def real(self, path: str) -> str:
        """`path` without symlinks."""
        ...

    def too_much(self, path: str) -> str:
        """Why no plugin may make a root of `path` by itself, "" where it may."""
        ...


class Territory:
    """What of one root a plugin may name. Without a `disk`, by its text alone."""

    def __init__(
        self,
        root: str,
        disk: Disk | None,
        *,
        above: int = 0,
        doors: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`doors` are symlinks behind which parts of the root lie; asked for where a symlink is on the way."""
        self.root = root
        self._disk = disk
        self._ask_doors = doors
        self._known_doors: Collection[str] | None = None
        self._top = root
        for _ in range(above):
            self._top = os.path.dirname(self._top)
        self._inside = root if root.endswith("/") else root + "/"
        self._way = None if disk is None else disk.below(self._top)

    def inside(self, path: str, what: str, *, itself: bool = False) -> str:
        """`path`, which lies below the root or is it; with `itself`, it will be followed, so it is no symlink."""
        if path != self.root and not is_below(path, self._top):
            raise Unfit(f"{what} is {path!r}, which does not lie below {self.root}")
        link = self._link_on_the_way(path, itself=itself)
        if link:
            raise Unfit(f"{what} is {path!r}, which lies behind the symlink {link!r}")
        return path

    def _link_on_the_way(self, path: str, *, itself: bool) -> str:
        """The first symlink on the way that is no door; behind one the way goes on from where it leads."""
        way, real, seen = self._way, path, 0
        while way is not None and self._disk is not None:
            link = way.link_on_the_way(real, itself=itself)
            behind = real[len(link) :]
            door = path[: len(path) - len(behind)]
            seen += 1
            if not link or door not in self._doors() or seen > DEEP:
                return door if link else ""
            there = self._disk.real(link)
            way, real = self._disk.below(there), there + behind
        return ""

    def _doors(self) -> Collection[str]:
        if self._known_doors is None:
            self._known_doors = frozenset(self._ask_doors())
        return self._known_doors

    def below(self, path: str, what: str, *, itself: bool = False) -> str:
        """`path`, which lies below the root and is not the root itself."""
        if path == self.root:
            raise Unfit(f"{what} is the root itself")
        return self.inside(path, what, itself=itself)

    def by_text(self, path: str, what: str) -> str:
        """`path`, which lies below the root or is it by its text: it is only shown, or read as any program reads it."""
        if path != self.root and not is_below(path, self.root):
            raise Unfit(f"{what} is {path!r}, which does not lie below {self.root}")
        return path

    # whole answers

    def replica(self, found: Replica, walked: set[str], what: str) -> Replica:
        """A file below the root. Folders that our own walk went through (`walked`) need no second look."""
        path = found.path
        if not path.startswith(self._inside):
            raise Unfit(f"{what} is {path!r}, which does not lie below {self.root}")
        if path.rpartition("/")[0] not in walked:
            self.inside(path, what)
        return found

    def snapshot(self, found: Snapshot, what: str) -> Snapshot:
        """What programs are given: nothing of it is changed by these paths, so symlinks may lead where they like."""
        files = (file.path for file in found.files)
        partials = (partial.path for partial in found.incomplete)
        for path in (found.path, found.home or found.path, *files, *partials):
            self.by_text(path, what)
        return found

    def removal(self, found: Removal, what: str) -> Removal:
        """Everything that goes, and the folders that it is put aside in, emptied, or kept in."""
        self._all(found.files, f"{what}.files")
        self._all((one.path for one in found.shared), f"{what}.shared")
        self._all((*found.folders, *found.empty, *found.inside), f"{what}.folders")
        for path, field in ((found.path, "path"), (found.aside, "aside")):
            if path:
                self.inside(path, f"{what}.{field}", itself=field == "aside")
        for kept in found.kept:
            self.by_text(kept.path, f"{what}.kept")
        return found

    def part(self, found: ModelPart, what: str) -> ModelPart:
        """What is read at `source` may be a symlink (a folded file is one), its folder may not lie behind one."""
        if found.source:
            self.below(found.source, f"{what}.source")
        return found

    def _all(self, paths: Iterable[str], what: str) -> None:
        for path in paths:
            self.inside(path, what)
