"""Finds out what the planner has to know of the machine: file systems, shared extents, places for a vault."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from hubfold.backend.contract import Capabilities, StorageBackend
from hubfold.content import DuplicateSet, Root
from hubfold.disk.filesystem import FileSystem, FileSystems
from hubfold.disk.work_trees import WorkTrees
from hubfold.folding.planner import Surroundings
from hubfold.reading.extents import extents_of
from hubfold.vault.places import vault_places


def survey(
    sets: Iterable[DuplicateSet], roots: Mapping[str, Root], backends: Mapping[str, StorageBackend]
) -> Surroundings:
    """What there is around the files of `sets`. Reads no content; a place that cannot be asked is left out."""
    filesystems = FileSystems()
    trees = WorkTrees()
    places: dict[str, FileSystem] = {}
    shared: dict[tuple[int, int], object] = {}
    for duplicates in sets:
        for replica in duplicates.replicas:
            folder = os.path.dirname(replica.path)
            if folder not in places:
                with suppress(OSError):
                    places[folder] = filesystems.of(folder)
            if folder in places and places[folder].pool and replica.payload not in shared:
                found = extents_of(replica.path)
                if found:
                    shared[replica.payload] = (places[folder].pool, found)
    return Surroundings(
        capabilities=capabilities(backends),
        roots=roots,
        filesystems=places,
        vaults={root.path: vault_places(root, backends, filesystems) for root in roots.values()},
        extents=shared,
        work_trees=frozenset(folder for folder in places if trees.hold(folder)),
        privileged=hasattr(os, "geteuid") and os.geteuid() == 0,
    )


def capabilities(backends: Mapping[str, StorageBackend]) -> dict[str, Capabilities]:
    return {name: backend.capabilities for name, backend in backends.items()}
