"""Finds out what the planner has to know of the machine: file systems, shared extents, places for a vault, and who
may read what."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from hubfold.access import Permissions, Way
from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.contract import Capabilities
from hubfold.content import DuplicateSet, IndexedReplica, Root
from hubfold.disk import permissions
from hubfold.disk.filesystem import FileSystem, FileSystems
from hubfold.disk.work_trees import WorkTrees
from hubfold.folding.planner import Surroundings
from hubfold.folding.rights import Makes
from hubfold.reading.extents import extents_of, written_in_place
from hubfold.vault.places import vault_places


def survey(
    sets: Iterable[DuplicateSet], roots: Mapping[str, Root], backends: Mapping[str, GuardedBackend]
) -> Surroundings:
    """What there is around the files of `sets`. Reads no content; a place that cannot be asked is left out."""
    filesystems = FileSystems()
    found = _Found(filesystems, permissions.groups() is not None)
    trees = WorkTrees()
    for duplicates in sets:
        for replica in duplicates.replicas:
            try:
                found.look(replica)
            except OSError:
                if replica.folder not in found.places or not os.path.lexists(replica.path):
                    found.away.add(replica.path)
    who = permissions.groups()
    return Surroundings(
        capabilities=capabilities(backends),
        roots=roots,
        filesystems=found.places,
        vaults={root.path: vault_places(root, backends, filesystems) for root in roots.values()},
        extents=found.extents,
        work_trees=frozenset(folder for folder in found.places if trees.hold(folder)),
        privileged=hasattr(os, "geteuid") and os.geteuid() == 0,
        files=found.files,
        ways=found.way_to,
        alone=frozenset(found.alone),
        makes=Makes(*who) if who is not None else None,
        unsettable=found.unsettable,
        in_place=found.in_place,
        away=found.away,
    )


class _Found:
    """What was found out so far of folders and payloads, each looked at once."""

    def __init__(self, filesystems: FileSystems, ordinary: bool) -> None:
        self._filesystems = filesystems
        self._ways = permissions.Ways()
        #: Whether this user may give a file only some attributes.
        self._ordinary = ordinary
        self.places: dict[str, FileSystem] = {}
        self.way_to: dict[str, Way] = {}
        self.files: dict[tuple[int, int], Permissions] = {}
        self.alone: set[tuple[int, int]] = set()
        self._groups: set[tuple[tuple[int, int], ...]] = set()
        self.unsettable: dict[tuple[int, int], str] = {}
        self.extents: dict[tuple[int, int], object] = {}
        self.in_place: set[tuple[int, int]] = set()
        #: The paths that cannot be looked at.
        self.away: set[str] = set()

    def look(self, replica: IndexedReplica) -> None:
        """Raises `OSError` where the file or its folder cannot be asked: a folder has no file system then."""
        folder = replica.folder
        if folder not in self.places:
            way = self._ways.to(folder)
            self.places[folder] = self._filesystems.of(folder)
            self.way_to[folder] = way
            for above in way.folders:
                self.alone |= permissions.alone(above)
        if replica.payload not in self.files:
            self._look_at_file(replica, bool(self.places[folder].pool))
        else:
            os.lstat(replica.path)

    def _look_at_file(self, replica: IndexedReplica, pool: bool) -> None:
        file = permissions.of_file(replica.path)
        self.files[replica.payload] = file
        if file.groups not in self._groups:
            self._groups.add(file.groups)
            self.alone |= permissions.alone(file)
        if self._ordinary and (name := permissions.not_ours_to_set(replica.path)) is not None:
            self.unsettable[replica.payload] = name
        if pool:
            shared = extents_of(replica.path)
            if shared:
                self.extents[replica.payload] = (
                    self.places[replica.folder].pool,
                    shared,
                )
            if written_in_place(replica.path):
                self.in_place.add(replica.payload)


def capabilities(backends: Mapping[str, GuardedBackend]) -> dict[str, Capabilities]:
    return {name: backend.capabilities for name, backend in backends.items()}
