"""Exchanges names for `repairs`: each gets right bytes for changed ones in one step, and no byte goes with a name.

The changed bytes have one more name, in a vault's ``replaced/``, before the first exchange. What a mend displaced is
looked at before it is unlinked: a file that somebody put there in the last moment goes back. `settle` cleans up after a
crash and after an error alike.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from hubfold.disk import directory as fsops
from hubfold.disk.directory import SPARE_SUFFIX, Directory
from hubfold.errors import LeftAlone
from hubfold.journal.journal import Journal
from hubfold.journal.records import Mend
from hubfold.journal.run_log import RunLog
from hubfold.reports.runs import Left
from hubfold.vault import objects

#: A folder of a vault with what a repair took out of the way.
REPLACED = "replaced"

# -- the changed bytes -----------------------------------------------------------------------------------------------


def name_to_keep(place: str, path: str, inode: int) -> str:
    """A name for the changed bytes in `place`: the same each time for one inode, and no other file's."""
    kept = os.path.join(place, REPLACED, f"{os.path.basename(path)}.{inode}")
    number = 0
    while os.path.lexists(kept) and os.lstat(kept).st_ino != inode:
        number += 1
        kept = os.path.join(place, REPLACED, f"{os.path.basename(path)}.{inode}-{number}")
    return kept


def is_place_to_keep(kept: str) -> bool:
    """Whether `name_to_keep` could have said so: a journal may hold anything."""
    folder = os.path.dirname(kept)
    return os.path.basename(folder) == REPLACED and objects.is_vault(os.path.dirname(folder))


def keep(name: tuple[str, str], kept: str, inode: int) -> None:
    """Give the inode of `name`, (root, path), the further name `kept`, durable. Raises `LeftAlone`, `OSError`."""
    fsops.make_folders(os.path.dirname(kept))
    source, last = Directory.parent_of(*name)
    with source, Directory.open(os.path.dirname(kept)) as folder:
        if folder.lstat_or_none(os.path.basename(kept)) is None:
            folder.link_from(source, last, os.path.basename(kept))
        if folder.lstat(os.path.basename(kept)).st_ino != inode:
            raise LeftAlone("it was replaced while it was being put right")
        folder.sync()


def is_inode(root: str, path: str, st: os.stat_result) -> bool:
    """Whether a path is a name of this inode; False where it cannot be looked at."""
    try:
        directory, name = Directory.parent_of(root, path)
    except (OSError, LeftAlone):
        return False
    with directory:
        now = directory.lstat_or_none(name)
    return (
        now is not None and stat.S_ISREG(now.st_mode) and (now.st_dev, now.st_ino) == (st.st_dev, st.st_ino)
    )


# -- names -----------------------------------------------------------------------------------------------------------


def exchange(directory: Directory, mend: Mend) -> None:
    """Give a name what lies under its temporary name, durable, and unlink what it displaced."""
    name = os.path.basename(mend.path)
    displaced = fsops.swap_in(directory, mend.temporary, name)
    if not _is_old(directory, displaced, mend):
        # Only the changed bytes have another name by now; a file that came meanwhile goes back.
        fsops.swap_back(
            directory, mend.temporary, name, displaced, ours=lambda it: _is_new(directory, it, mend)
        )
        raise LeftAlone("it was replaced while it was being put right")
    directory.sync()
    directory.unlink(displaced)


def link_in(source: Directory, name: str, mend: Mend) -> None:
    """Give a name the file `name` of another directory, as `exchange` does."""
    directory, _ = Directory.parent_of(mend.root, mend.path)
    with directory:
        directory.link_from(source, name, mend.temporary)
        exchange(directory, mend)


def _is_new(directory: Directory, name: str, mend: Mend) -> bool:
    st = directory.lstat_or_none(name)
    return st is not None and st.st_ino == mend.new


def _is_old(directory: Directory, name: str, mend: Mend) -> bool:
    """Whether this is what the mend found at its path; changed bytes only where they are kept under another name."""
    st = directory.lstat_or_none(name)
    if st is None:
        return False
    if mend.text:
        return stat.S_ISLNK(st.st_mode) and directory.readlink(name) == mend.text
    return stat.S_ISREG(st.st_mode) and st.st_ino == mend.inode and _keeps(mend)


def _keeps(mend: Mend) -> bool:
    with suppress(OSError):
        return os.lstat(mend.kept).st_ino == (mend.new if mend.text else mend.inode)
    return False


@dataclass(slots=True)
class Settled:
    """What has to stay, and the numbers of mends that were found done."""

    left: list[Left] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    #: Something cannot be looked at, or be removed, now.
    waiting: bool = False


def settle(log: RunLog, journal: Journal, *, forget: bool = False) -> Settled:
    """Take back, or find done, what a crash left of a run's repairs; what was done is written down.

    With `forget`, what cannot be looked at is given up.
    """
    mends = [mend for number, mend in log.mends.items() if number not in log.mended]
    settled = settle_all(mends, forget=forget)
    if settled.done:
        journal.append("mended", numbers=settled.done)
        log.mended.update(settled.done)
    return settled


def settle_all(mends: Iterable[Mend], *, forget: bool = False) -> Settled:
    """As `settle`, for mends that are not whole."""
    settled = Settled()
    useless: dict[str, list[bool]] = {}
    owned: set[str] = set()
    for mend in mends:
        try:
            reason, here = _settle(mend)
        except (OSError, LeftAlone) as error:
            what = "given up, it cannot be looked at" if forget else "cannot be looked at now"
            settled.left.append(Left(mend.path, f"{what}: {fsops.describe(error)}"))
            settled.waiting |= not forget
            useless.setdefault(mend.kept, []).append(False)
            continue
        useless.setdefault(mend.kept, []).append(here == OLD)
        if here == NEW:
            settled.done.append(mend.number)
            if mend.text:
                owned.add(mend.kept)
        if reason:
            settled.left.append(Left(mend.path, reason))
    for kept in () if settled.waiting else useless:
        # Nothing came of the repair where every path is as it was; and who the changed bytes belong to may have them.
        if (all(useless[kept]) or kept in owned) and is_place_to_keep(kept):
            try:
                drop(kept)
            except OSError:
                settled.waiting = True
    return settled


#: What lies at the path of a mend.
OLD, NEW, OTHER = "old", "new", "other"


def _settle(mend: Mend) -> tuple[str, str]:
    """(why something has to stay, what lies at the path)."""
    try:
        directory, name = Directory.parent_of(mend.root, mend.path)
    except FileNotFoundError:
        if not (os.path.isdir(mend.root) or (mend.mount and os.path.ismount(mend.mount))):
            raise
        return "", OTHER  # its folder was deleted since, and our names with it
    reason = ""
    with directory:
        for candidate in (mend.temporary + SPARE_SUFFIX, mend.temporary):
            st, here = directory.lstat_or_none(candidate), directory.lstat_or_none(name)
            if st is None:
                continue
            ours = st.st_ino == mend.new or (mend.new == 0 and candidate == mend.temporary)
            second = here is not None and here.st_ino == st.st_ino
            if ours or second or _is_old(directory, candidate, mend):
                directory.unlink(candidate)
            # A name that is missing gets what it displaced, as in recovery.
            elif here is None or here.st_ino == mend.new:
                directory.rename(candidate, name)  # what came in the last moment goes back
            else:
                reason = f"{candidate} beside it is not what hubfold made; it stays"
        directory.sync()
        if _is_old(directory, name, mend):
            return reason, OLD
        now = directory.lstat_or_none(name)
        return (
            reason,
            NEW if now is not None and now.st_ino == mend.new else OTHER,
        )  # new is 0 where nothing was made


def drop(kept: str) -> None:
    """Take the further name of the changed bytes away, since a path of the user's has them."""
    try:
        folder = Directory.open(os.path.dirname(kept))
    except FileNotFoundError:
        return
    with folder:
        st = folder.lstat_or_none(os.path.basename(kept))
        if st is not None and st.st_nlink > 1:
            folder.unlink(os.path.basename(kept))
            folder.sync()
    with suppress(OSError):
        os.rmdir(os.path.dirname(kept))
