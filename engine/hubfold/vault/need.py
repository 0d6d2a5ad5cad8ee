"""Whether a noted link still needs its object: seen on the disk, on the very file system that the link was made on.

Only what was seen to be gone is gone. What another machine made, what lies on a file system that is not mounted here,
below a root that is missing, or where reading fails, counts as needing the object.
"""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import chain

from hubfold.disk.identity import Location, Machine, Mounts, same_place, this_machine
from hubfold.disk.paths import plain
from hubfold.vault.links import leads_to, object_named, points_at
from hubfold.vault.objects import NeededBy, id_of, read_links


class Need(enum.Enum):
    """Whether a noted link still needs its object."""

    NEEDED = "needed"
    GONE = "gone"
    #: It cannot be seen from here: that never means it is gone (invariants 5 and 11).
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Here:
    """What this machine can see: who it is, what is mounted now, and which runs its state knows."""

    machine: Machine
    mounts: Mounts
    #: Asked once, if an older line is met.
    _runs: Callable[[], Iterable[str]] = tuple
    #: (run, path) of links that undo took away, with their folders; asked once, if a link is found nowhere.
    _unlinked: Callable[[], Iterable[tuple[str, str]]] = tuple
    _own: Collection[str] | None = field(default=None, init=False)
    _taken_back: Collection[tuple[str, str]] | None = field(default=None, init=False)

    @classmethod
    def now(
        cls,
        runs: Callable[[], Iterable[str]] = tuple,
        unlinked: Callable[[], Iterable[tuple[str, str]]] = tuple,
    ) -> Here:
        mounts = Mounts.now()
        return cls(this_machine(mounts), mounts, runs, unlinked)

    def again(self) -> Here:
        """The same with what is mounted by now."""
        return Here(self.machine, Mounts.now(), self._runs, self._unlinked)

    def owns(self, entry: NeededBy) -> bool:
        """Whether this machine noted the link, so that it can tell when it is gone."""
        if entry.machine:
            return entry.machine == self.machine.id
        if self._own is None:
            self._own = frozenset(self._runs())
        return entry.run in self._own

    def took_back(self, entry: NeededBy) -> bool:
        """Whether undo took the link away, or saw it to be gone, before its folder went too."""
        if self._taken_back is None:
            self._taken_back = frozenset(self._unlinked())
        return (entry.run, entry.link) in self._taken_back

    def needed_by(self, link: str, root: str, run: str, object_vault: str, mount: str) -> NeededBy:
        """The line for a link that is about to be made here."""
        at = self.mounts.of(link)
        return NeededBy(
            link=link,
            mount=mount,
            run=run,
            root=root,
            fs=at.filesystem,
            inside=at.inside,
            vault=id_of(object_vault),
            machine=self.machine.id,
            host=self.machine.name,
        )


def need(object_: str, entry: NeededBy, here: Here) -> Need:
    """Look whether the link is there and leads to `object_`, dangling or not."""
    try:
        if any(_reads(path, object_) for path in chain((entry.link,), here.mounts.paths(_location(entry)))):
            return Need.NEEDED
        gone = here.owns(entry) and (_is_gone(entry, here) or here.took_back(entry))
        return Need.GONE if gone else Need.UNKNOWN
    except OSError:
        return Need.UNKNOWN


def reads_another(link: str, object_: str) -> bool:
    """Whether a link reads the object of another vault that has noted it, and so needs no other of the same name."""
    try:
        text = os.readlink(link)
        other = plain(os.path.join(os.path.realpath(os.path.dirname(link)), text))
        return (
            object_named(text) != ""
            and other != plain(object_)
            and os.path.lexists(other)
            and any(entry.link == link for entry in read_links(other))
        )
    except OSError:
        return False


def why(entry: NeededBy, here: Here) -> str:
    """Why it is not known whether a link needs its object, for people."""
    if not here.owns(entry):
        who = f"{entry.host} ({entry.machine})" if entry.machine else "another machine or an older version"
        return f"{entry.link} was made by {who}, which may need it"
    if entry.fs and not here.mounts.has(entry.fs):
        return f"{entry.link} cannot be looked at now (is its drive away?)"
    return f"{entry.link} cannot be looked at now (is its folder, or its drive, away?)"


def _location(entry: NeededBy) -> Location:
    return Location(entry.fs, entry.inside)


def _reads(path: str, object_: str) -> bool:
    """Whether `path` is a symlink to this object, wherever the vault was then. Raises `OSError` but for a path that is
    not there."""
    try:
        if not stat.S_ISLNK(os.lstat(path).st_mode):
            return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    named = leads_to(os.readlink(path), object_) and not reads_another(path, object_)
    return named or points_at(path, object_)


def _is_gone(entry: NeededBy, here: Here) -> bool:
    """Whether a link that was not found is seen to be gone, on its own file system. Raises `OSError`."""
    if not entry.fs:
        return _was_deleted(entry)
    at = _location(entry)
    ways = here.mounts.ways(at, _root_inside(entry))
    return any(_lacks(folder, names, at, here) for folder, names in ways)


def _was_deleted(entry: NeededBy) -> bool:
    """Of a link whose file system has no identity: by what is mounted where it was."""
    return os.path.ismount(entry.mount) and (not entry.root or os.path.isdir(entry.root))


def _root_inside(entry: NeededBy) -> str:
    """The root of a link inside the link's file system; the top of that where it lies on another one."""
    below = os.path.relpath(entry.link, entry.root) if entry.root else ""
    root = entry.inside.removesuffix("/" + below)
    return root or "/" if root != entry.inside else "/"


def _lacks(folder: str, names: list[str], at: Location, here: Here) -> bool:
    """Whether the way to a link, from a folder that has to be there, ends before it; read name by name.

    A symlink on the way is no proof: the folder may have been moved to where it leads. Raises `OSError`.
    """
    if not _is_folder(folder):
        return False
    for passed, name in enumerate(names):
        try:
            mode = os.lstat(os.path.join(folder, name)).st_mode
        except FileNotFoundError:
            break
        if passed < len(names) - 1 and stat.S_ISLNK(mode):
            return False
        if passed == len(names) - 1 or not stat.S_ISDIR(mode):
            break
        folder = os.path.join(folder, name)
    # What was read has to be what it seems: another file system may be mounted over any part of the way.
    inside = at.inside.removesuffix("/" + "/".join(names[passed:])) or "/"
    return same_place(here.mounts.location(folder), Location(at.filesystem, inside))


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
