"""`symlink-farm`: a folder of links into known caches, one name a file: views that cost nothing.

Layout of a farm that ``hubfold farm`` built::

    <farm>/.hubfold-farm                 marker
    <farm>/<org>/<name>/<file>           a symlink to an object of a vault, or into a cache

A folder that somebody made by hand, of nothing but links into ``models--*/snapshots`` or ``blobs``, is one as
well. Regular files in a farm are content like anywhere else.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from hubfold import peek
from hubfold.backend import Capabilities, StorageBackend, Walk
from hubfold.content import FARM_MARKER, Replica, Root

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_INTO_A_CACHE = re.compile(r"/(?:models|datasets|spaces|kernels)--[^/]+/(?:snapshots|blobs)/")
#: ``<org>/<name>/<subfolder>``: no farm has its first link deeper than this.
_DEPTH = 3


class SymlinkFarmBackend(StorageBackend):
    """Regular files as they are; symlinks are no replicas, but those that dangle are told."""

    name = "symlink-farm"
    capabilities = Capabilities()

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        """`path` with the marker of `hubfold farm`, or with links into hub caches and nothing else."""
        return path if FARM_MARKER in names or _holds_links(path, names, _DEPTH) else None

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        for folder in walk.folders(root.path):
            for name in folder.links:
                path = os.path.join(folder.path, name)
                if walk.dangles(path):
                    walk.warn(
                        path, "leads nowhere: what it pointed to was removed, or its drive is not there"
                    )
            for name, stat in folder.files:
                yield Replica(os.path.join(folder.path, name), stat)


def _holds_links(path: str, names: Collection[str], depth: int) -> bool:
    """Whether the first folder at or below `path` that holds files holds links into caches only.

    Asked of every folder of a scan, so the first file that is no such link ends it.
    """
    folders = []
    found = False
    for name in names:
        if name.startswith("."):
            continue
        entry = os.path.join(path, name)
        text = peek.link_text(entry)
        if text is not None:
            if not _INTO_A_CACHE.search(text):
                return False
            found = True
        elif peek.is_folder(entry):
            folders.append(entry)
        else:
            return False
    if found or not folders or depth == 0:
        return found
    below = min(folders)
    return _holds_links(below, peek.names_in(below), depth - 1)
