"""What lies on the disk now, held against what a journal says was there."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress

from hubfold.content import LinkKind
from hubfold.disk.directory import Directory
from hubfold.errors import Away, LeftAlone
from hubfold.journal.presence import Places, check_there
from hubfold.journal.records import Intent, Put, Repointed


def is_original(st: os.stat_result | None, intent: Intent) -> bool:
    """Whether this is the file that the run found at the path."""
    return (
        st is not None
        and stat.S_ISREG(st.st_mode)
        and (st.st_ino, st.st_size, st.st_mtime_ns) == (intent.inode, intent.size, intent.mtime_ns)
    )


def is_link(directory: Directory, name: str, intent: Intent) -> bool:
    """Whether `name` is the link that the run made for this path."""
    st = directory.lstat_or_none(name)
    if st is None:
        return False
    if intent.link is LinkKind.SYMLINK:
        return stat.S_ISLNK(st.st_mode) and directory.readlink(name) == intent.text
    return stat.S_ISREG(st.st_mode) and (st.st_ino, st.st_size) == (intent.keeper_inode, intent.size)


def written_through(directory: Directory, name: str, intent: Intent) -> bool:
    """Whether somebody changed the content behind the link since it was made."""
    try:
        st = directory.stat_through(name)
    except FileNotFoundError:
        return False
    return (st.st_size, st.st_mtime_ns) != (intent.size, intent.keeper_mtime_ns)


def still_links(intent: Intent, places: Places) -> bool:
    """Whether the path is still the link that the run made. What cannot be looked at now is taken for one."""
    return _still(intent, places, lambda directory, name: is_link(directory, name, intent))


def is_put(directory: Directory, name: str, put: Put) -> bool:
    """Whether `name` is what a run put there."""
    st = directory.lstat_or_none(name)
    if st is None:
        return False
    if put.text:
        return stat.S_ISLNK(st.st_mode) and directory.readlink(name) == put.text
    same = stat.S_ISREG(st.st_mode) and (st.st_ino, st.st_size) == (put.inode, put.size)
    return same and (not put.digest or _sha256(directory, name) == put.digest)


def _sha256(directory: Directory, name: str) -> str:
    with open(directory.open_file(name), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def still_put(put: Put, places: Places) -> bool:
    """Whether a path is still what a run put there. What cannot be looked at now is taken for it."""
    return _still(put, places, lambda directory, name: is_put(directory, name, put))


def _still(made: Intent | Put, places: Places, is_it: Callable[[Directory, str], bool]) -> bool:
    try:
        directory, name = Directory.parent_of(made.root, made.path)
        with directory:
            if is_it(directory, name):
                return True
    except FileNotFoundError:
        pass
    except (OSError, LeftAlone):
        return True
    try:
        check_there(places, made.root, made.mount)
    except Away:
        return True
    return False


def led_to(links: Iterable[Repointed]) -> set[int]:
    """The inodes that links which were given another text read, those of links that cannot be looked at among them."""
    found = set()
    for link in links:
        with suppress(OSError):
            if _may_read(link):
                found.add(os.stat(link.target).st_ino)
    return found


def _may_read(link: Repointed) -> bool:
    try:
        return os.readlink(link.path) == link.text
    except OSError as error:
        # What is no link any more, since a copy took its place, reads itself.
        return error.errno != errno.EINVAL


def text_of(path: str) -> str:
    """The text of a symlink; "" for anything else, and for what cannot be looked at."""
    try:
        return os.readlink(path)
    except OSError:
        return ""
