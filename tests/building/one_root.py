"""Scans of one root by one backend, by the engine's own walk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubfold.backend.boundary import GuardedBackend
from hubfold.content import Replica, Root
from hubfold.scanning.walk import Memory, Shared, TreeWalk

if TYPE_CHECKING:
    from pathlib import Path

    from hubfold.backend.contract import StorageBackend


@dataclass
class Scanned:
    root: Path
    replicas: dict[str, Replica]
    walk: TreeWalk
    found: list[tuple[str, str]]

    def __getitem__(self, path: str) -> Replica:
        return self.replicas[path]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.replicas)

    @property
    def warnings(self) -> dict[str, str]:
        """Messages by path, from the root."""
        return {os.path.relpath(warning.path, self.root): warning.message for warning in self.walk.warnings}


def scan(
    backend: type[StorageBackend],
    root: Path,
    *,
    others: tuple[type[StorageBackend], ...] = (),
    memory: Memory | None = None,
    commits: dict[str, tuple[str, str]] | None = None,
) -> Scanned:
    """What `backend` finds below `root`; `others` are loaded too and may claim sub-trees."""
    found: list[tuple[str, str]] = []
    place = Root(str(root), backend.name)
    walk = TreeWalk(
        place,
        {cls.name: GuardedBackend(cls()) for cls in (backend, *others)},
        Shared(lambda name, path: found.append((name, path)), {} if commits is None else commits),
        memory=memory,
    )
    found_replicas: list[Replica] = []
    GuardedBackend(backend()).replicas(place, walk, found_replicas.append)
    replicas = {os.path.relpath(replica.path, root): replica for replica in found_replicas}
    return Scanned(root, replicas, walk, found)
