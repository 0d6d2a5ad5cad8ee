"""Exchanges names for `repairs`: each gets right bytes for changed ones in one step, and no byte goes with a name.

The changed bytes have one more name, in a vault's ``replaced/``, before the first exchange. What a mend displaced is
looked at before it is unlinked: a file that somebody put there in the last moment goes back. `settle` cleans up after a
crash and after an error alike.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from hubfold.disk.directory import Directory, make_folders
from hubfold.disk.exchange import swap_back, swap_in
from hubfold.errors import LeftAlone
from hubfold.journal.records import Mend
from hubfold.vault import objects

#: A folder of a vault with what a repair took out of the way.
REPLACED = "replaced"
#: What link(2) says where it makes no second name; then the file is renamed.
_NO_LINK = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
#: What lies at the path of a mend.
OLD, NEW, OTHER = "old", "new", "other"


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
    make_folders(os.path.dirname(kept))
    source, last = Directory.parent_of(*name)
    with source, Directory.open(os.path.dirname(kept)) as folder:
        if folder.lstat_or_none(os.path.basename(kept)) is None:
            folder.link_from(source, last, os.path.basename(kept))
        if folder.lstat(os.path.basename(kept)).st_ino != inode:
            raise LeftAlone("it was replaced while it was being put right")
        folder.sync()


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


def name_if_free(directory: Directory, temporary: str, name: str) -> None:
    """Give a file that was made under a temporary name its own, if nothing has that. Raises `LeftAlone`, `OSError`."""
    try:
        try:
            directory.link_from(directory, temporary, name)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            directory.move(temporary, directory, name)
    except FileExistsError:
        raise LeftAlone("somebody put it there meanwhile") from None


def exchange(directory: Directory, mend: Mend) -> None:
    """Give a name what lies under its temporary name, durable, and unlink what it displaced."""
    name = os.path.basename(mend.path)
    displaced = swap_in(directory, mend.temporary, name)
    if not is_old(directory, displaced, mend):
        # Only the changed bytes have another name by now; a file that came meanwhile goes back.
        swap_back(directory, mend.temporary, name, displaced, ours=lambda it: _is_new(directory, it, mend))
        raise LeftAlone("it was replaced while it was being put right")
    directory.sync()
    directory.unlink(displaced)


def link_in(source: Directory, name: str, mend: Mend) -> None:
    """Give a name the file `name` of another directory, as `exchange` does."""
    directory, _ = Directory.parent_of(mend.root, mend.path)
    with directory:
        directory.link_from(source, name, mend.temporary)
        exchange(directory, mend)


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


def is_old(directory: Directory, name: str, mend: Mend) -> bool:
    """Whether this is what the mend found at its path; changed bytes only where they are kept under another name."""
    st = directory.lstat_or_none(name)
    if st is None:
        return False
    if mend.text:
        return stat.S_ISLNK(st.st_mode) and directory.readlink(name) == mend.text
    return stat.S_ISREG(st.st_mode) and st.st_ino == mend.inode and _keeps(mend)


def _is_new(directory: Directory, name: str, mend: Mend) -> bool:
    st = directory.lstat_or_none(name)
    return st is not None and st.st_ino == mend.new


def _keeps(mend: Mend) -> bool:
    with suppress(OSError):
        return os.lstat(mend.kept).st_ino == (mend.new if mend.text else mend.inode)
    return False
