"""What was changed about kept files, and given back when no link needs it any more."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from hubfold import errors
from hubfold.disk import held
from hubfold.disk.directory import Directory
from hubfold.errors import LeftAlone
from hubfold.journal.on_disk import still_links
from hubfold.journal.presence import Places, check_there
from hubfold.journal.records import KeeperChange
from hubfold.journal.run_log import RunLog
from hubfold.reports.outcomes import Failed

_NONE: Mapping[str, str] = {}
UNDECIDED = ("intent", "restore")


def restore_keepers(
    log: RunLog,
    used_elsewhere: Collection[int],
    changes: Sequence[KeeperChange] | None = None,
    roots_now: Mapping[str, str] = _NONE,
) -> list[Failed]:
    """Give keepers that nothing links to any more the mode and mtime that they had before any run; what failed.

    `changes` are those of all runs, oldest first (default: of this one): the last run to let go of a keeper need not be
    the one that changed it. `roots_now` are roots that are not where they were, with where they are.
    """
    linked = {
        intent.keeper_inode
        for number, intent in log.intents.items()
        if log.states[number] in ("done", *UNDECIDED)
        or (log.states[number] == "kept" and still_links(intent, log.places))
    }
    ours = {i.keeper_inode for i in log.intents.values()} | {change.inode for change in log.keepers}
    failed: list[Failed] = []
    for change in reversed(log.keepers if changes is None else changes):
        if change.inode in ours and change.inode not in linked and change.inode not in used_elsewhere:
            try:
                _restore_keeper(_where_it_is(change, roots_now), log.places)
            except LeftAlone:
                continue
            except OSError as error:
                # Deleted, or a link now: nothing to give back.
                if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    failed.append(Failed(change.path, errors.describe(error)))
    return failed


def _where_it_is(change: KeeperChange, roots_now: Mapping[str, str]) -> KeeperChange:
    root = roots_now.get(change.root)
    return change if root is None else replace(change, path=root + change.path[len(change.root) :], root=root)


def _restore_keeper(change: KeeperChange, places: Places) -> None:
    """Raises `Away` where the keeper's root is not to be seen now."""
    check_there(places, change.root)
    directory, name = Directory.parent_of(change.root, change.path)
    with directory:
        fd = directory.open_file(name)
    try:
        st = os.fstat(fd)
        if st.st_ino != change.inode:
            return
        if stat.S_IMODE(st.st_mode) == change.mode[1] != change.mode[0]:
            held.set_mode(fd, change.mode[0])
        if st.st_mtime_ns == change.mtime_ns[1] != change.mtime_ns[0]:
            os.utime(fd, ns=(st.st_atime_ns, change.mtime_ns[0]))
    finally:
        os.close(fd)
