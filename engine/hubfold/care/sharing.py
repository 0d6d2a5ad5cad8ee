"""Files of a group's cache that the others of the group cannot use, and folders that they cannot write to; opened.

A client writes some of its files for its user alone, whatever the umask (huggingface_hub 2.4.0: the listings of
revisions), and everything under a umask of 077. What is opened to the group is announced in the journal (``share``), by
the mode and group that it had; nothing takes that back, and a crash leaves some of it to be opened by the next look. A
file that has a name elsewhere stays: whoever has that one keeps it to himself, as it were.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hubfold import display, errors
from hubfold.disk.directory import Directory
from hubfold.disk.held import set_mode
from hubfold.errors import LeftAlone
from hubfold.journal.journal import Journal
from hubfold.journal.records import Shared
from hubfold.reports.health import Finding

_READ, _ENTER = stat.S_IRGRP, stat.S_IRGRP | stat.S_IXGRP
#: What a folder of a group's has: its group writes there, and what is made there is of that group.
_FOLDER = _ENTER | stat.S_IWGRP | stat.S_ISGID

#: Whether a file, by what `stat` says of it, has a name that is none of the cache, or is not known.
Elsewhere = Callable[[os.stat_result], bool]


@dataclass(frozen=True, slots=True)
class _Closed:
    """A path that the group cannot use, as it was seen, and what it should have."""

    path: str
    st: os.stat_result
    gid: int

    @property
    def mode(self) -> int:
        now = stat.S_IMODE(self.st.st_mode)
        return now | (_FOLDER if stat.S_ISDIR(self.st.st_mode) else _READ)


def shut_out(
    cache: str, elsewhere: Elsewhere = lambda st: st.st_nlink > 1, begin: Callable[[], Journal] | None = None
) -> Finding | None:
    """What the group of a cache cannot use of it; None where it can, or where the cache is one user's.

    A cache is a group's where the group may write to its folder. With `begin`, which gives a journal, what this user
    may open is opened. Raises `OSError` if the journal cannot be written.
    """
    try:
        top = os.stat(cache)
    except OSError:
        return None
    if not top.st_mode & stat.S_IWGRP:
        return None
    found = sorted(_closed(cache, top), key=lambda one: one.path)
    if not found:
        return None
    ours = [one for one in found if _may_open(one, elsewhere)]
    wrong = _open(cache, ours, begin()) if begin is not None and ours else []
    number = display.count(len(found), "path")
    return Finding(
        "not-shared",
        found[0].path,
        f"the group of {cache} may write there, and cannot use {number} of it; this is the first",
        _fix(cache, top, len(ours), len(found), wrong),
        begin is not None and len(ours) == len(found) and not wrong,
        mendable=bool(ours),
        replaces=tuple(one.path for one in ours),
    )


def _fix(cache: str, top: os.stat_result, ours: int, found: int, wrong: list[str]) -> str:
    named = shlex.quote(cache)
    by_hand = (
        f"their owners, or root, run: chgrp -R {top.st_gid} {named}; chmod -R g+rX {named}; and "
        f"find {named} -type d -exec chmod g+ws {{}} +"
    )
    if not ours:
        return by_hand
    told = f"{display.count(ours, 'path')} opened to the group, by mode and group"
    told += f" (failed: {wrong[0]})" if wrong else ""
    return told if ours == found else f"{told}; of the other {found - ours:,}, {by_hand}"


def _may_open(one: _Closed, elsewhere: Elsewhere) -> bool:
    uid = os.geteuid()
    if uid != 0 and one.st.st_uid != uid:
        return False
    if uid != 0 and one.st.st_gid != one.gid and one.gid not in (os.getegid(), *os.getgroups()):
        return False
    return stat.S_ISDIR(one.st.st_mode) or one.st.st_nlink == 1 or not elsewhere(one.st)


def _open(cache: str, paths: list[_Closed], book: Journal) -> list[str]:
    """Open paths to the group; what failed, in words. Raises `OSError` of the journal."""
    for one in paths:
        shared = Shared(one.path, cache, (stat.S_IMODE(one.st.st_mode), one.mode), (one.st.st_gid, one.gid))
        book.append("share", **shared.as_record())
    book.sync()
    wrong = []
    for one in paths:
        try:
            _open_one(cache, one)
        except (OSError, LeftAlone) as error:
            wrong.append(f"{one.path}: {errors.describe(error)}")
    return wrong


def _open_one(cache: str, one: _Closed) -> None:
    """Raises `LeftAlone` where it is not what was seen, `OSError`."""
    directory, name = Directory.parent_of(cache, one.path)
    with directory:
        fd = directory.open_file(name)
    try:
        _give(one, fd)
    finally:
        os.close(fd)


def _give(one: _Closed, fd: int) -> None:
    st = os.fstat(fd)
    seen = ("st_dev", "st_ino", "st_mode", "st_uid", "st_gid", "st_nlink")
    if any(getattr(st, name) != getattr(one.st, name) for name in seen):
        raise LeftAlone("it became another one meanwhile; it stays as it is")
    if st.st_gid != one.gid:
        os.fchown(fd, -1, one.gid)
    set_mode(fd, one.mode)


def _closed(folder: str, top: os.stat_result) -> Iterator[_Closed]:
    """The paths below a folder that are of another group than `top`, or that the group may not read or write to."""
    try:
        with os.scandir(folder) as entries:
            listed = [(entry.path, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError:
        return  # told already, by its mode
    for path, st in listed:
        if stat.S_ISDIR(st.st_mode):
            wanted = _ENTER | stat.S_IWGRP
        elif stat.S_ISREG(st.st_mode):
            wanted = _READ
        else:
            continue
        if st.st_mode & wanted != wanted or (st.st_gid != top.st_gid and not st.st_mode & stat.S_IROTH):
            yield _Closed(path, st, top.st_gid)
        if stat.S_ISDIR(st.st_mode):
            yield from _closed(path, top)
