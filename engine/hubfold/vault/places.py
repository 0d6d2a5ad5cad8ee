"""Where the vault of a root may lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

from hubfold.backend.boundary import GuardedBackend
from hubfold.content import VAULT, Root
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.paths import existing
from hubfold.disk.permissions import Ways
from hubfold.disk.work_trees import WorkTrees
from hubfold.vault.names import OBJECTS, VaultPlace


def vault_places(
    root: Root, backends: Mapping[str, GuardedBackend], filesystems: FileSystems
) -> list[VaultPlace]:
    """Where the vault for keepers of `root` may be, best first."""
    if root.backend == VAULT or root.backend not in backends:
        return []
    backend = backends[root.backend]
    ways = Ways()
    found = []
    trees = WorkTrees()
    for path in backend.vault_places(root):
        if trees.hold(os.path.dirname(path)):
            continue  # `git clean` would take it
        folder = existing(path)
        inside = os.path.dirname(path) == root.path and backend.capabilities.cache
        note = f"the vault has to lie inside {root.path}: `hf cache` will warn of a folder it does not know"
        with suppress(OSError):
            writable = os.access(folder, os.W_OK | os.X_OK)
            way = ways.to_new(os.path.join(path, OBJECTS), existing(root.path))
            here = filesystems.of(folder)
            place = VaultPlace(path, here, writable, note if inside else "", way=way, serves=root.path)
            found.append(place)
    return found
