"""One file that is seen through two mounts: bindfs and other FUSE, the layers of an overlay, a share mounted twice.

Each mount gives it a device number of its own (some an inode number, too), so that it looks like two payloads. What no
mount changes are its times: nobody can set a ctime, and two files have the same only where both were changed in one
tick of the clock; so where no file system is a stacked one, the inode number has to be equal too.
This is what is told and planned by; the executor finds out for itself, on the files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from operator import itemgetter

from hubfold.index.rows import CTIME, DEVICE, FOLDER, INODE, MTIME, Row

#: Whether a folder lies on a file system that shows the files of another one.
Stacked = Callable[[str], bool]


def without_views(
    payloads: Mapping[tuple[int, int], list[Row]], stacked: Stacked | None
) -> dict[tuple[int, int], list[Row]]:
    """Payloads of one size, (device, inode) → rows of their names, without those that are another one's view.

    Of the views of a file, the one on a file system that is not stacked stays, else the first by path. Without
    `stacked`, only what has one inode number everywhere is taken for a view.
    """
    if len({device for device, _ in payloads}) < 2:
        return dict(payloads)
    found: dict[tuple[int, int], list[tuple[bool, Row]]] = {}
    kept = dict(payloads)
    for key, rows in sorted(payloads.items(), key=lambda item: _rank(item[1], stacked)):
        newest = max(rows, key=itemgetter(CTIME))
        layered = _is_stacked(newest, stacked)
        same_times = found.setdefault((newest[MTIME], newest[CTIME]), [])
        if any(_is_view(newest, layered, *other) for other in same_times):
            del kept[key]
        else:
            same_times.append((layered, newest))
    return kept


def _rank(rows: list[Row], stacked: Stacked | None) -> tuple[bool, bytes]:
    return _is_stacked(rows[0], stacked), min(row[FOLDER] for row in rows)


def _is_stacked(row: Row, stacked: Stacked | None) -> bool:
    return stacked is not None and stacked(os.fsdecode(row[FOLDER]))


def _is_view(row: Row, layered: bool, other_layered: bool, other: Row) -> bool:
    same_inode = row[INODE] == other[INODE]
    return bool(row[DEVICE] != other[DEVICE] and (same_inode or layered or other_layered))
