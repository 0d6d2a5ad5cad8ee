"""What a view shows first: the roots and their models as the last scan saw them, and nothing else is loaded for it."""

from __future__ import annotations

from hubfold.engine.workspace import Workspace
from hubfold.index import housekeeping
from hubfold.models.names import Name
from hubfold.reports.scans import Remembered, RememberedModel, RememberedRoot


class Remembering:
    """Answers from the index alone."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def remembered(self) -> Remembered:
        """See `Engine.remembered`."""
        if not self._workspace.has_index:
            return Remembered()
        index = self._workspace.index
        return Remembered(
            tuple(
                RememberedRoot(
                    path=one.root.path,
                    backend=one.root.backend,
                    files=one.files,
                    bytes=one.bytes,
                    physical_bytes=one.allocated,
                    scanned_at=one.scanned_at,
                )
                for one in index.states()
            ),
            tuple(
                RememberedModel(root, str(Name(repo_type, repo_id)), files, size, physical)
                for root, repo_type, repo_id, files, size, physical in housekeeping.by_model(index)
            ),
        )
