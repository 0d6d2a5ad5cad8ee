"""Finds out what the planner has to know of the machine: file systems, shared extents, places for a vault."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from hubfold import fsops, vault
from hubfold.backend import Capabilities, StorageBackend
from hubfold.content import DuplicateSet, IndexedReplica, Root
from hubfold.filesystem import FileSystem, FileSystems
from hubfold.fsops import extents
from hubfold.planner import Surroundings, VaultPlace


def survey(
    sets: Iterable[DuplicateSet], roots: Mapping[str, Root], backends: Mapping[str, StorageBackend]
) -> Surroundings:
    """What there is around the files of `sets`. Reads no content; a place that cannot be asked is left out."""
    filesystems = FileSystems()
    places: dict[str, FileSystem] = {}
    shared: dict[tuple[int, int], object] = {}
    for duplicates in sets:
        for replica in duplicates.replicas:
            folder = os.path.dirname(replica.path)
            if folder not in places:
                with suppress(OSError):
                    places[folder] = filesystems.of(folder)
            if folder in places and places[folder].pool and replica.payload not in shared:
                found = _extents(replica.path)
                if found:
                    shared[replica.payload] = (places[folder].pool, found)
    return Surroundings(
        capabilities=capabilities(backends),
        roots=roots,
        filesystems=places,
        vaults={root.path: vault_places(root, backends, filesystems) for root in roots.values()},
        extents=shared,
        privileged=hasattr(os, "geteuid") and os.geteuid() == 0,
    )


def capabilities(backends: Mapping[str, StorageBackend]) -> dict[str, Capabilities]:
    return {name: backend.capabilities for name, backend in backends.items()}


def _extents(path: str) -> object:
    """The physical extents of a file on a file system that can share them; None where they cannot be told."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return extents(fd)
    finally:
        os.close(fd)


def shared_extents(replica: IndexedReplica, filesystems: FileSystems) -> object:
    """A key that two payloads have in common when they share all their extents, None where that cannot be."""
    return extents_key(replica.path, filesystems)


def extents_key(path: str, filesystems: FileSystems) -> object:
    """`shared_extents` of the regular file at `path`."""
    with suppress(OSError):
        pool = filesystems.of(os.path.dirname(path)).pool
        found = _extents(path) if pool else None
        return (pool, found) if found else None
    return None


def shared_bytes(path: str) -> int:
    """Bytes of the file at `path` whose extents another file has too; 0 where that cannot be told."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return fsops.shared_bytes(fd)
        finally:
            os.close(fd)
    return 0


def vault_places(
    root: Root, backends: Mapping[str, StorageBackend], filesystems: FileSystems
) -> list[VaultPlace]:
    """Where the vault for keepers of `root` may be, best first."""
    if root.backend == vault.NAME or root.backend not in backends:
        return []
    backend = backends[root.backend]
    found = []
    for path in backend.vault_places(root):
        folder = path
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        inside = os.path.dirname(path) == root.path and backend.capabilities.cache
        note = f"the vault has to lie inside {root.path}: `hf cache` will warn of a folder it does not know"
        with suppress(OSError):
            writable = os.access(folder, os.W_OK | os.X_OK)
            found.append(VaultPlace(path, filesystems.of(folder), writable, note if inside else ""))
    return found
