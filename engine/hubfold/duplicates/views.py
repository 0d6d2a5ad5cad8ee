"""One file that is seen through two mounts: bindfs and other FUSE, the layers of an overlay, a share mounted twice.

Each mount gives it a device number of its own (some an inode number, too), so that it looks like two payloads. What no
mount changes are its times: nobody can set a ctime, and two files have the same only where both were changed in one
tick of the clock; so where no file system is a stacked one, the inode number has to be equal too, and two disks never
show one file: new ones give their files the same numbers.
This is what is told and planned by; the executor finds out for itself, on the files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from operator import itemgetter

from hubfold.disk.filesystem import Shows
from hubfold.index.rows import CTIME, DEVICE, FOLDER, INODE, MTIME, Row

#: Whose files are seen in a folder.
Shown = Callable[[str], Shows]


def without_views(
    payloads: Mapping[tuple[int, int], list[Row]], shown: Shown | None
) -> dict[tuple[int, int], list[Row]]:
    """Payloads of one size, (device, inode) → rows of their names, without those that are another one's view.

    Of the views of a file, the one on a file system that is not stacked stays, else the first by path. Without
    `shown`, only what has one inode number everywhere is taken for a view.
    """
    if len({device for device, _ in payloads}) < 2:
        return dict(payloads)
    found: dict[tuple[int, int], list[tuple[Shows, Row]]] = {}
    kept = dict(payloads)
    for key, rows in sorted(payloads.items(), key=lambda item: _rank(item[1], shown)):
        newest = max(rows, key=itemgetter(CTIME))
        shows = _shows(newest, shown)
        same_times = found.setdefault((newest[MTIME], newest[CTIME]), [])
        if any(_is_view(newest, shows, *other) for other in same_times):
            del kept[key]
        else:
            same_times.append((shows, newest))
    return kept


def _rank(rows: list[Row], shown: Shown | None) -> tuple[bool, bytes]:
    return _shows(rows[0], shown) is Shows.OTHERS, min(row[FOLDER] for row in rows)


def _shows(row: Row, shown: Shown | None) -> Shows:
    return Shows.MAYBE_TWICE if shown is None else shown(os.fsdecode(row[FOLDER]))


def _is_view(row: Row, shows: Shows, other_shows: Shows, other: Row) -> bool:
    if row[DEVICE] == other[DEVICE]:
        return False
    if Shows.OTHERS in (shows, other_shows):
        return True
    return bool(row[INODE] == other[INODE]) and {shows, other_shows} != {Shows.OWN}
