"""What is changed about kept files: announced, done, and given back when no link needs it any more.

A kept file that more paths will read as a file of their own gets read-only, and may get an older mtime.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import replace

from hubfold import errors
from hubfold.disk.directory import Directory
from hubfold.disk.held import WRITE_BITS, HeldFile, set_mode
from hubfold.errors import LeftAlone
from hubfold.journal.journal import Journal
from hubfold.journal.on_disk import led_to, still_links, still_put
from hubfold.journal.others import ALONE, Others
from hubfold.journal.presence import Places, check_there, check_vault
from hubfold.journal.records import KeeperChange
from hubfold.journal.run_log import RunLog
from hubfold.reports.outcomes import Failed

#: States of a number of which it is not known what became of it.
_UNDECIDED = ("intent", "restore")


def announce(journal: Journal, keeper: HeldFile, root: str, *, mode: int, mtime_ns: int) -> None:
    """Append that a kept file, in `root`, gets this mode and mtime; nothing where it has them."""
    now = keeper.attributes
    if (mode, mtime_ns) != (now.mode, now.mtime_ns):
        change = KeeperChange(
            path=keeper.path,
            root=root,
            inode=keeper.signature.inode,
            mode=(now.mode, mode),
            mtime_ns=(now.mtime_ns, mtime_ns),
        )
        journal.append("keeper", **change.as_record())


def make_read_only(keeper: HeldFile) -> bool:
    """Take the write bits of a kept file, as announced; False where it is not ours to change.

    Then nothing stops a write through its links. Raises `OSError` for anything else.
    """
    mode = keeper.attributes.mode
    try:
        if mode & WRITE_BITS:
            set_mode(keeper.fd, mode & ~WRITE_BITS)
    except PermissionError:
        return False
    return True


def restore_keepers(log: RunLog, others: Others = ALONE) -> list[Failed]:
    """Give keepers that nothing links to any more the mode and mtime that they had before any run; what failed.

    The last run to let go of a keeper need not be the one that changed it.
    """
    changes = log.keepers if others.changes is None else others.changes
    linked = {
        intent.keeper_inode
        for number, intent in log.intents.items()
        if log.states[number] in ("done", *_UNDECIDED)
        or (log.states[number] == "kept" and still_links(intent, log.places))
    }
    linked |= led_to(log.repointed)
    linked.update(put.inode for put in log.puts if not put.text and still_put(put, log.places))
    ours = {i.keeper_inode for i in log.intents.values()} | {change.inode for change in log.keepers}
    failed: list[Failed] = []
    for change in reversed(changes):
        if change.inode in ours and change.inode not in linked and change.inode not in others.keepers:
            try:
                _give_back(change, others, log.places)
            except LeftAlone:
                continue
            except OSError as error:
                failed.append(Failed(change.path, errors.describe(error)))
    return failed


def _give_back(change: KeeperChange, others: Others, places: Places) -> None:
    """By the name that it was changed by; where another file has that by now, by a name of what a fold kept for it."""
    kept_as = sorted(others.kept_as.get(change.path, ()))
    for one in (change, *(replace(change, root=root, path=path) for root, path in kept_as)):
        try:
            if _restore_keeper(_where_it_is(one, others.roots_now), places):
                return
        except OSError as error:
            # Deleted, or a link now: nothing to give back.
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise


def _where_it_is(change: KeeperChange, roots_now: Mapping[str, str]) -> KeeperChange:
    root = roots_now.get(change.root)
    return change if root is None else replace(change, path=root + change.path[len(change.root) :], root=root)


def _restore_keeper(change: KeeperChange, places: Places) -> bool:
    """Whether it is there. Raises `Away` where the keeper's root is not to be seen now."""
    known = places.get(change.root)
    if known is not None and known.vault:
        check_vault(places, change.root)  # one that is empty is removed
    else:
        check_there(places, change.root)
    directory, name = Directory.parent_of(change.root, change.path)
    with directory:
        fd = directory.open_file(name)
    try:
        st = os.fstat(fd)
        if st.st_ino != change.inode:
            return False
        if stat.S_IMODE(st.st_mode) == change.mode[1] != change.mode[0]:
            set_mode(fd, change.mode[0])
        if st.st_mtime_ns == change.mtime_ns[1] != change.mtime_ns[0]:
            os.utime(fd, ns=(st.st_atime_ns, change.mtime_ns[0]))
        return True
    finally:
        os.close(fd)
