"""One name's content for another's, in one step where the file system can, and back."""

from __future__ import annotations

import errno
from collections.abc import Callable

from hubfold.disk.directory import Directory
from hubfold.errors import LeftAlone

#: renameat2 with RENAME_EXCHANGE: file systems that cannot say one of these.
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
#: Added to a temporary's name for the displaced file where names cannot be exchanged.
SPARE_SUFFIX = "~"
#: Added to the name of a copy that is being written. It is never exchanged with anything, so no user's file gets it.
UNFINISHED = "+"


def swap_in(directory: Directory, temporary: str, name: str) -> str:
    """Put `temporary` in the place of `name`, which is at no instant missing; the name the displaced file has now.

    Names are exchanged where that is possible; else the displaced file gets a second name before it is renamed over.
    """
    try:
        directory.exchange(temporary, name)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
    else:
        return temporary
    spare = temporary + SPARE_SUFFIX
    directory.link_from(directory, name, spare)
    try:
        directory.rename(temporary, name)
    except OSError:
        directory.unlink(spare)
        raise
    return spare


def swap_back(
    directory: Directory, temporary: str, name: str, displaced: str, *, ours: Callable[[str], bool]
) -> None:
    """Take a `swap_in` back: the displaced file has its name again, and what was put in its place is gone.

    `ours` tells whether a name is what was put in place. Raises `LeftAlone` if somebody put something else there since:
    that stays, and the displaced file beside it.
    """
    if displaced == temporary:
        directory.exchange(temporary, name)
        if ours(temporary):
            directory.unlink(temporary)
        elif directory.lstat_or_none(temporary) is not None:
            directory.exchange(temporary, name)
            raise LeftAlone(f"the file as it was before is at {temporary} beside it")
    else:
        if directory.lstat_or_none(name) is not None and not ours(name):
            # Without an exchange, it would be renamed over.
            raise LeftAlone(f"the file as it was before is at {displaced} beside it")
        directory.rename(displaced, name)
