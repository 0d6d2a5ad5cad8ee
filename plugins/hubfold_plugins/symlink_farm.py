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

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, StorageBackend, Walk
from hubfold.content import FARM_MARKER, Replica, Root, Snapshot, SnapshotFile
from hubfold_plugins.huggingface.claims import claims_of_link

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hubfold.backend.changes import Gap

_INTO_A_CACHE = re.compile(r"/(?:models|datasets|spaces|kernels)--[^/]+/(?:snapshots|blobs)/")
#: ``<org>/<name>/<subfolder>``: no farm has its first link deeper than this.
_DEPTH = 3

_OF_A_SNAPSHOT = re.compile(
    r"/(?P<kind>model|dataset|space|kernel)s--(?P<repo>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})/(?P<name>.+)"
)
_KINDS = {"datasets": "dataset", "spaces": "space", "kernels": "kernel"}


class SymlinkFarmBackend(StorageBackend):
    """Regular files as they are; symlinks are no replicas, but those that dangle are told."""

    name = "symlink-farm"
    capabilities = Capabilities(vouches=False)

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        """`path` with the marker of `hubfold farm`, or with links into hub caches and nothing else.

        A revision of a cache is none, though a tool may have written its links so.
        """
        if FARM_MARKER in names:
            return path
        in_a_cache = _INTO_A_CACHE.search(f"{path}/")
        return path if not in_a_cache and _holds_links(path, names, _DEPTH) else None

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        for folder in walk.folders(root.path):
            for name in folder.links:
                path = os.path.join(folder.path, name)
                if walk.dangles(path):
                    walk.warn(
                        path,
                        "leads nowhere: what it pointed to was removed, or its drive is not there",
                        kind="dangling",
                    )
            for name, stat in folder.files:
                yield Replica(os.path.join(folder.path, name), stat)

    def gaps(self, root: Root, walk: Walk) -> Iterator[Gap]:
        """Links to blobs of a cache that is gone, or moved."""
        from hubfold.backend.changes import Gap

        for folder in walk.folders(root.path):
            for path in (os.path.join(folder.path, name) for name in sorted(folder.links)):
                digests = claims_of_link(walk.readlink(path) or "")
                if digests and walk.dangles(path):
                    yield Gap(path, digests)

    def snapshots(self, root: Root, walk: Walk) -> Iterator[Snapshot]:
        """The models that are linked here. A farm of hubfold's does not write revisions down: they stay empty."""
        files: dict[_Model, list[SnapshotFile]] = {}
        models = _Models(root.path)
        for folder in walk.folders(root.path):
            models.ours = models.ours or (folder.path == root.path and FARM_MARKER in folder.names)
            for name in sorted(folder.links):
                path = os.path.join(folder.path, name)
                found = models.of_link(path, walk.readlink(path) or "")
                if found is not None:
                    model, file = found
                    files.setdefault(model, []).append(SnapshotFile(file, path, walk.size(path)))
        for model in sorted(files):
            kind, repo_id, revision, place = model
            yield Snapshot(
                repo_id=repo_id,
                repo_type=kind,
                revision=revision,
                refs=(),
                path=place,
                files=tuple(files[model]),
                home=place,
            )


#: (repo_type, repo_id, revision, its folder in the farm)
_Model = tuple[str, str, str, str]


class _Models:
    """Tells of which model a link in one farm is a file."""

    def __init__(self, root: str) -> None:
        self.root = root
        #: The farm is one that hubfold built, so that a link's own path says what it is.
        self.ours = False
        #: Folders with files of their own: repositories without an organisation.
        self._short: set[str] = set()

    def of_link(self, path: str, text: str) -> tuple[_Model, str] | None:
        """The model and the file's name in it; None for a link that is neither ours nor into a cache."""
        if self.ours:
            parts = os.path.relpath(path, self.root).split("/")
            kind = _KINDS.get(parts[0], "model") if len(parts) > 2 else "model"
            start = 0 if kind == "model" else 1
            if len(parts) < start + 2:
                return None
            short = os.path.join(self.root, *parts[: start + 1])
            # Folders come before what is below them, so a link right in this one has been seen by now.
            if len(parts) == start + 2:
                self._short.add(short)
            end = start + (1 if short in self._short else 2)
            place = os.path.join(self.root, *parts[:end])
            return (kind, "/".join(parts[start:end]), "", place), "/".join(parts[end:])
        link = _OF_A_SNAPSHOT.search(text)
        if link is None:
            return None
        name = link["name"]
        place = path.removesuffix(f"/{name}") if path.endswith(f"/{name}") else os.path.dirname(path)
        repo_id = link["repo"].replace("--", "/")
        return (link["kind"], repo_id, link["commit"], place), name


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
