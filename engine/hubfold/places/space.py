"""What a place holds and what still fits into it, as `du` counts: by allocated blocks, each inode once."""

from __future__ import annotations

import os
from collections.abc import Hashable
from typing import NamedTuple

from hubfold import display
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.paths import existing, free_bytes
from hubfold.errors import NoSpace

_BLOCK = 512


class OverLimit(NoSpace):
    """A place would hold more than its limit."""


def used(folder: str) -> int:
    """Bytes that `folder` takes by allocated blocks, with its folders, each inode once: ``du -s --block-size=1``.

    Mounts below it are not gone into, nor are symlinks; what cannot be read counts nothing; a missing one takes 0.
    """
    try:
        top = os.lstat(folder)
    except OSError:
        return 0
    seen: set[int] = set()
    total, todo = top.st_blocks, [folder]
    while todo:
        try:
            entries = list(os.scandir(todo.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                st = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if st.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                if st.st_ino in seen:
                    continue
                seen.add(st.st_ino)
            if entry.is_dir(follow_symlinks=False):
                if st.st_dev != top.st_dev:
                    continue
                todo.append(entry.path)
            total += st.st_blocks
    return total * _BLOCK


def drive_of(folder: str) -> Hashable:
    """What is equal for folders, there yet or not, that one drive's free space is for; itself where nobody can tell."""
    try:
        found = FileSystems().of(existing(folder))
    except OSError:
        return folder
    return found.pool or found.device


class Room(NamedTuple):
    """What there is of a place, in bytes. `limit` None: none; `free`: of its file system, None where that is not told;
    `reserve`: what is to stay free of that."""

    used: int
    limit: int | None
    free: int | None
    reserve: int = 0

    @property
    def left(self) -> int:
        """What still fits: under the limit, and on the file system with the reserve kept; never below 0."""
        bounds = [] if self.limit is None else [self.limit - self.used]
        bounds += [] if self.free is None else [self.free - self.reserve]
        return max(0, min(bounds, default=0))

    def fits(self, held: int, written: int, margin: int = 0) -> bool:
        """Whether a place may hold `held` bytes more, `written` of them new to its drive, with `margin` to spare."""
        below = self.limit is None or self.used + held <= self.limit
        return below and (self.free is None or written + max(margin, self.reserve) <= self.free)

    @property
    def over(self) -> int:
        """By how much the limit is passed; 0 where it is not."""
        return 0 if self.limit is None else max(0, self.used - self.limit)

    @property
    def figures(self) -> str:
        """What is used of the limit, and free of the drive: for people."""
        told = [] if self.limit is None else [f"{display.size(self.used)} of {display.size(self.limit)} used"]
        if self.free is not None:
            reserve = f", {display.size(self.reserve)} of it in reserve" if self.reserve else ""
            told.append(f"{display.size(self.free)} free{reserve}")
        return ", ".join(told)

    def check_limit(self, wanted: int, called: str) -> None:
        """Raise `OverLimit`, with the figures, where `wanted` bytes more are over the limit of a place called so."""
        if self.limit is not None and wanted and self.used + wanted > self.limit:
            raise OverLimit(
                f"{called} holds {display.size(self.used)} of the {display.size(self.limit)} that it may,"
                f" and this takes {display.size(wanted)} more",
                "make room (`hubfold rm`, `hubfold clean`), name another place, or raise its limit (`hubfold roots`)",
            )


def room(folder: str, limit: int | None, reserve: int = 0) -> Room:
    """What there is of a place whose cache is `folder`; what it holds is only added up where it has a limit."""
    return Room(used(folder) if limit is not None else 0, limit, free_bytes(folder), reserve)
