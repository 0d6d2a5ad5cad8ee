"""A walk that shows a backend one path, so that it says what its layout states of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress

from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.contract import Folder
from hubfold.content import Root
from hubfold.disk.paths import within
from hubfold.scanning.walk import TreeWalk


class OnePath(TreeWalk):
    """A walk that meets one path only, as a file with the content that is read there, link or not."""

    def __init__(self, root: Root, backends: Mapping[str, GuardedBackend], path: str) -> None:
        super().__init__(root, backends)
        self._path = path

    def folders(self, path: str) -> Iterator[Folder]:
        if not within(self._path, path):
            return
        *above, name = os.path.relpath(self._path, path).split(os.sep)
        for folder in above:
            yield Folder(path, self.listing(path), [], [], [folder])
            path = os.path.join(path, folder)
        with suppress(OSError):
            yield Folder(path, self.listing(path), [(name, os.stat(self._path))], [], [])
