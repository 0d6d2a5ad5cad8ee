"""Empties folders that a removal has renamed away, and settles those that a crash left.

What was announced goes, and nothing else. What somebody put there in the meantime gets its name back: alone, if the
emptying has begun, since a folder that is given back half empty would be taken for a smaller whole.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hubfold import display
from hubfold.disk import directory as fsops
from hubfold.disk.directory import Directory
from hubfold.disk.seen import Seen, below, look
from hubfold.errors import LeftAlone
from hubfold.journal.records import Temporary
from hubfold.journal.run_log import RunLog
from hubfold.reports.runs import Left
from hubfold.scanning.walk import within

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


@dataclass(slots=True)
class Settled:
    """What is told; `waiting` if something cannot be done now."""

    left: list[Left] = field(default_factory=list)
    waiting: bool = False


def settle(log: RunLog, *, forget: bool = False) -> Settled:
    """Remove what a crash left under names of hubfold's own: folders on their way out, files on their way in.

    What cannot be removed now is tried again another time; with `forget` it is given up.
    """
    settled = Settled()
    for item in log.temporaries:
        try:
            settled.left += _settle_out(log, item) if item.out else _settle_in(item)
            continue
        except (FileNotFoundError, NotADirectoryError, LeftAlone):
            if not item.mount or os.path.ismount(item.mount):
                continue  # somebody took the folder away that it was in
            reason = f"its drive is not there ({item.mount})"
        except OSError as error:
            reason = fsops.describe(error)
        what = "given up, it cannot be removed" if forget else "it cannot be removed now"
        settled.left.append(Left(item.temporary, f"{what}: {reason}"))
        settled.waiting |= not forget
    if log.ended is None and not settled.waiting:
        settled.left += _cut_short(log)
    return settled


def _settle_in(item: Temporary) -> list[Left]:
    directory, name = Directory.parent_of(item.root, item.temporary)
    with directory:
        st = directory.lstat_or_none(name)
        if st is not None:
            if stat.S_ISDIR(st.st_mode):
                fsops.remove_tree(directory, name)
            else:
                directory.unlink(name)
            directory.sync()
    return []


def _settle_out(log: RunLog, item: Temporary) -> list[Left]:
    announced = {removed.path: removed for removed in log.removals if within(removed.path, item.path)}

    def goes(path: str, seen: Seen) -> bool:
        return path in item.locks or (path in announced and announced[path].is_still(seen))

    directory, name = Directory.parent_of(item.root, item.temporary)
    with directory:
        if directory.lstat_or_none(name) is None:
            return []
        found = dict(below(directory, name, item.path))
        untouched = all(goes(path, seen) for path, seen in found.items())
        if not untouched and announced.keys() <= found.keys() and not os.path.lexists(item.path):
            # Put there between question and rename: nobody was asked about it, and nothing was removed yet.
            source, last = Directory.parent_of(item.root, item.path)
            with source:
                directory.move(name, source, last)
                source.sync()
            directory.sync()
            return []
    emptied = empty(item.root, item.path, item.temporary, goes)
    told = [f"{path} was put there meanwhile and is there again" for path in emptied.given_back]
    for path in emptied.stays:
        now = item.temporary + path[len(item.path) :]
        told.append(f"{path} was put there meanwhile, and another is there now; it is at {now}")
    return [Left(item.path, f"it was being removed and is gone, but {text}") for text in told]


def rest_of(log: RunLog) -> Iterator[tuple[str, str]]:
    """(folder of a local copy, path) of all that a run was to remove of local copies and that is there as it was."""
    for removed in log.removals:
        if removed.copy:
            seen = look(removed.path)
            if seen is not None and removed.is_still(seen):
                yield removed.copy, removed.path


def _cut_short(log: RunLog) -> list[Left]:
    """The local copies whose notes are gone while files of theirs are not: nothing else would tell of them."""
    # Where a note is there, again or still, the copy is its client's.
    places = [item.path for item in log.temporaries if item.out]
    noted = [
        removed.path
        for removed in log.removals
        if any(within(removed.path, place) for place in places) and os.path.lexists(removed.path)
    ]
    found: dict[str, list[str]] = {}
    for copy, path in rest_of(log):
        if not any(within(note, copy) for note in noted):
            found.setdefault(copy, []).append(path)
    return [
        Left(
            copy,
            f"its removal was cut short and {display.count(len(paths), 'file')} of it {_are(paths)} left; "
            f"`hubfold rm {shlex.quote(copy)}` goes on with it",
        )
        for copy, paths in found.items()
    ]


def _are(paths: list[str]) -> str:
    return "is" if len(paths) == 1 else "are"
