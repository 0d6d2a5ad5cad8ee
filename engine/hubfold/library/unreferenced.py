"""What takes space and no model refers to: content that no revision uses, downloads that were not finished.

Asked of the layouts of caches (`StorageBackend.leftovers`), with a walk of its own: nothing here depends on what a scan
knew. Beside these what programs of a layout keep for themselves (`Capabilities.beside`): told with its size, and nobody
here removes it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from hubfold.backend.boundary import GuardedBackend
from hubfold.content import LEFTOVER_AGE, LeftoverKind, Root
from hubfold.faults import BackendFault
from hubfold.progress import Stop
from hubfold.reports.scans import Unreferenced
from hubfold.scanning.walk import Shared, TreeWalk

if TYPE_CHECKING:
    from hubfold.backend.changes import Leftover

CLEAN = "hubfold clean"
#: What was touched within a day: somebody may be at it, or go on with it.
CLEAN_YOUNG = "hubfold clean --older-than 0"
BESIDE = "kept by programs for themselves"
#: What of that which is left behind is told, and in these words; a detached revision is a model, and a lock is empty.
_TOLD = {
    LeftoverKind.UNUSED: "content that no revision uses",
    LeftoverKind.EMPTY: "repositories without a revision",
    LeftoverKind.INTERRUPTED: "interrupted downloads",
}

#: What the file system gets back for these files.
Measure = Callable[[Iterable[str]], int]


def find(
    roots: Iterable[Root], backends: Mapping[str, GuardedBackend], measure: Measure, *, stop: Stop
) -> tuple[Unreferenced, ...]:
    """By what it is; a root whose plugin fails has told of that, and is left out."""
    files: dict[tuple[LeftoverKind, str], list[str]] = {}
    before_ns = time.time_ns() - LEFTOVER_AGE * 10**9
    caches = [
        root for root in roots if root.backend in backends and backends[root.backend].capabilities.cache
    ]
    for root in caches:
        for leftover in _leftovers(root, caches, backends, stop):
            if leftover.kind in _TOLD:
                young = leftover.mtime_ns is not None and leftover.mtime_ns >= before_ns
                command = CLEAN_YOUNG if young else CLEAN
                files.setdefault((leftover.kind, command), []).extend(leftover.removal.files)
    found = [
        Unreferenced(_TOLD[kind], len(paths), measure(paths), command)
        for (kind, command), paths in sorted(files.items())
    ]
    return tuple(one for one in found if one.bytes)


def _leftovers(
    root: Root, roots: Iterable[Root], backends: Mapping[str, GuardedBackend], stop: Stop
) -> Iterable[Leftover]:
    with suppress(BackendFault):
        if os.path.isdir(root.path):
            walk = TreeWalk(root, backends, Shared(stop=stop), boundaries=[one.path for one in roots])
            return backends[root.backend].leftovers(root, walk)
    return ()


def beside(backends: Mapping[str, GuardedBackend], environ: Mapping[str, str]) -> Iterator[Unreferenced]:
    """Each folder of `Capabilities.beside` that is there, once."""
    seen: set[str] = set()
    for backend in backends.values():
        for text in backend.capabilities.beside:
            place = _expanded(text, environ)
            real = os.path.realpath(place) if os.path.isabs(place) else ""
            if real not in seen and os.path.isdir(real):
                seen.add(real)
                number, size = _taken(real)
                if size:
                    yield Unreferenced(BESIDE, number, size, None, real)


def _expanded(text: str, environ: Mapping[str, str]) -> str:
    """The path with what its first part names filled in; "" where that is not set."""
    first, slash, rest = text.partition("/")
    if first == "~":
        first = environ.get("HOME", "")
    elif first.startswith("$"):
        first = environ.get(first[1:], "")
        if first.startswith("~/"):
            first = environ.get("HOME", "") + first[1:]
    return first + slash + rest if first else ""


def _taken(folder: str) -> tuple[int, int]:
    """(files, bytes by blocks) below a folder, each inode once; what cannot be looked at is not counted."""
    found: dict[tuple[int, int], int] = {}
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                st = os.lstat(os.path.join(path, name))
                found[st.st_dev, st.st_ino] = st.st_blocks * 512
    return len(found), sum(found.values())
