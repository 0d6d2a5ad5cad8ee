"""Everything that a report tells, asked of the other services once."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable

from hubfold.disk import whole_file
from hubfold.engine.memory import Memory
from hubfold.engine.models import Models
from hubfold.engine.scanning import Scanning
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.library.space_map import space_map
from hubfold.reports.models import Model
from hubfold.reports.overview import Overview
from hubfold.reports.scans import DupesReport

#: Duplicate sets that a report names one by one.
SETS = 200


class Overviewing:
    """Scans, and tells; changes nothing but the index."""

    def __init__(self, workspace: Workspace, memory: Memory, scanning: Scanning, models: Models) -> None:
        self._workspace = workspace
        self._memory = memory
        self._scanning = scanning
        self._models = models

    def overview(self) -> Overview:
        """See `Engine.overview`."""
        scanned = self._scanning.scan()
        models = self._models.models()
        found = self._memory.dupes()
        index = self._workspace.index
        roots = self._models.by_preference(index.roots(vaults=True))
        payloads = {replica.payload for duplicates, _ in found.sets for replica in duplicates.replicas}
        told = [row for row, _ in models.rows]
        return Overview(
            made_at=time.time(),
            host=socket.gethostname(),
            space=self._memory.space([root.path for root in scanned.roots]),
            reclaimable_bytes=found.reclaimable_bytes,
            roots=tuple(self._memory.roots()),
            models=tuple(told),
            duplicates=DupesReport(found.sets[:SETS], found.reclaimable_bytes),
            set_count=len(found.sets),
            unreferenced=models.unreferenced,
            map=space_map(((root, index.replicas(root.path)) for root in roots), payloads, _names(told)),
            warnings=tuple(dict.fromkeys((*scanned.warnings, *models.warnings))),
        )

    def check_page(self, path: StrPath, mark: str) -> None:
        """See `Engine.check_page`."""
        whole_file.check(os.fspath(path), mark)

    def write_page(self, path: StrPath, text: str, mark: str) -> None:
        """See `Engine.write_page`."""
        whole_file.write(os.fspath(path), text, mark)


def _names(models: Iterable[Model]) -> dict[str, str]:
    """The name in its model of each file, by the path where its content lies."""
    return {
        os.path.realpath(file.path): file.name
        for model in models
        for place in model.places
        for revision in place.revisions
        for file in revision.files
    }
