"""Empties folders that a removal has renamed away, and settles those that a crash left.

What was announced goes, and nothing else. What somebody put there in the meantime gets its name back: alone, if the
emptying has begun, since a folder that is given back half empty would be taken for a smaller whole.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from hubfold.disk.directory import Directory
from hubfold.disk.seen import Seen
from hubfold.errors import LeftAlone

#: Whether a path, as it is now, is what the user was told would go.
Goes = Callable[[str, Seen], bool]

#: What link(2) says where it makes no second name; then the file is renamed.
_NO_LINK = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


@dataclass(slots=True)
class Emptied:
    """`freed` is what the folders took, in bytes by allocated blocks."""

    freed: int = 0
    #: What somebody put there and has its name again, and what has not since the name is taken: it stays where it is.
    given_back: list[str] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)


def empty(root: str, folder: str, temporary: str, goes: Goes) -> Emptied:
    """Remove what was `folder` and is at `temporary` now; both lie below `root`. Raises `OSError`, `LeftAlone`."""
    emptied = Emptied()
    directory, name = Directory.parent_of(root, temporary)
    with directory:
        if directory.lstat_or_none(name) is None:
            return emptied
        strangers = _empty(directory, name, folder, goes, emptied)
        for path in strangers:
            given = _give_back(root, path, temporary + path[len(folder) :])
            (emptied.given_back if given else emptied.stays).append(path)
        if strangers:
            _empty(directory, name, folder, lambda path, seen: False, emptied)
        directory.sync()
    return emptied


def _empty(directory: Directory, name: str, shown: str, goes: Goes, emptied: Emptied) -> list[str]:
    """Remove what `goes` from the folder `name`, and the folder if nothing is left; the paths of what stays."""
    blocks = directory.lstat(name).st_blocks * 512
    stay: list[str] = []
    with directory.child(name) as folder:
        for entry in folder.names():
            path = os.path.join(shown, entry)
            seen = Seen.at(folder, entry)
            if seen is None:
                if folder.lstat_or_none(entry) is not None:
                    stay += _empty(folder, entry, path, goes, emptied)
            elif goes(path, seen):
                folder.unlink(entry)
            else:
                stay.append(path)
    if not stay:
        directory.rmdir(name)
        emptied.freed += blocks
    return stay


def _give_back(root: str, path: str, now: str) -> bool:
    """Give what is at `now` the name `path`; False where that is taken, or lies in no folder any more."""
    source, name = Directory.parent_of(root, now)
    with source:
        try:
            target = Directory.make_below(root, os.path.dirname(path))
        except LeftAlone:
            return False
        with target:
            last = os.path.basename(path)
            try:
                target.link_from(source, name, last)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                if target.lstat_or_none(last) is not None:
                    return False
                source.move(name, target, last)
                target.sync()
            else:
                target.sync()
                source.unlink(name)
        source.sync()
    return True
