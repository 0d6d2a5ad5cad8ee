"""What recovery makes of a removal that was cut short."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator

from hubfold import display, errors
from hubfold.disk.directory import Directory, remove_tree
from hubfold.disk.paths import within
from hubfold.disk.seen import Seen, below, look
from hubfold.errors import LeftAlone
from hubfold.journal.records import Temporary
from hubfold.journal.run_log import RunLog
from hubfold.removal.empty import empty
from hubfold.reports.outcomes import Left, Settled


def settle_removal(log: RunLog, *, forget: bool = False) -> Settled:
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
            reason = errors.describe(error)
        what = "given up, it cannot be removed" if forget else "it cannot be removed now"
        settled.left.append(Left(item.temporary, f"{what}: {reason}"))
        settled.waiting |= not forget
    if log.ended is None and not settled.waiting:
        settled.left += _cut_short(log)
    return settled


def rest_of(log: RunLog) -> Iterator[tuple[str, str]]:
    """(folder of a local copy, path) of all that a run was to remove of local copies and that is there as it was."""
    for removed in log.removals:
        if removed.copy:
            seen = look(removed.path)
            if seen is not None and removed.is_still(seen):
                yield removed.copy, removed.path


def _settle_in(item: Temporary) -> list[Left]:
    directory, name = Directory.parent_of(item.root, item.temporary)
    with directory:
        st = directory.lstat_or_none(name)
        if st is not None:
            if stat.S_ISDIR(st.st_mode):
                remove_tree(directory, name)
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
