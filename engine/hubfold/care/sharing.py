"""Files of a group's cache that the others of the group cannot read, and folders that they cannot write to.

A client writes some of its files for its user alone, whatever the umask (huggingface_hub 2.4.0: the listings of
revisions), and everything under a umask of 077.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator

from hubfold import display
from hubfold.reports.health import Finding

_READ, _ENTER = stat.S_IRGRP, stat.S_IRGRP | stat.S_IXGRP


def shut_out(cache: str) -> Finding | None:
    """What the group of a cache cannot use of it; None where it can, or where the cache is one user's.

    A cache is a group's where the group may write to its folder.
    """
    try:
        top = os.stat(cache)
    except OSError:
        return None
    if not top.st_mode & stat.S_IWGRP:
        return None
    found = sorted(_closed(cache, top))
    if not found:
        return None
    named = shlex.quote(cache)
    number = display.count(len(found), "path")
    return Finding(
        "not-shared",
        found[0],
        f"the group of {cache} may write there, and cannot use {number} of it; this is the first",
        f"their owners, or root, run: chgrp -R {top.st_gid} {named}; chmod -R g+rX {named}; and "
        f"find {named} -type d -exec chmod g+ws {{}} +",
    )


def _closed(folder: str, top: os.stat_result) -> Iterator[str]:
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
            yield path
        if stat.S_ISDIR(st.st_mode):
            yield from _closed(path, top)
