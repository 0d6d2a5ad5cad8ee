"""Finding roots and content: what changes the index and the list of roots, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hubfold.content import Role
from hubfold.engine.workspace import MIN_SIZE, StrPath, Workspace
from hubfold.reading.pool import Readers, Threads
from hubfold.reports.outcomes import Notice
from hubfold.reports.scans import ScanReport, StatusRoot
from hubfold.scanning import scan
from hubfold.state.home import KnownRoot


class Scanning:
    """Scans, and roots that a user adds."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def scan(
        self, paths: Sequence[StrPath] = (), *, backend: str | None = None, min_size: int = MIN_SIZE
    ) -> ScanReport:
        """See `Engine.scan`."""
        roots = self._workspace.discover(paths, backend=backend)
        with Threads(self._workspace.threads) as pool:
            report = scan.scan(
                roots,
                self._workspace.backends,
                self._workspace.index,
                Readers(pool, self._workspace.progress, self._workspace.stop),
                min_size=min_size,
                sharing=self._workspace.sharing,
            )
        liars = self._workspace.index.liars([root.path for root in report.roots])
        told = [Notice(liar.path, "its bytes are not what its name says: it is corrupt") for liar in liars]
        left_out = {root.path for root in report.roots if root.left_out}
        told += [Notice.of(fault) for fault in self._workspace.faults if fault.root not in left_out]
        self._workspace.left_out.difference_update(root.path for root in report.roots)
        self._workspace.left_out.update(left_out)
        return replace(
            report,
            roots=tuple(self._workspace.with_primary(report.roots)),
            warnings=(*report.warnings, *told),
        )

    def add_root(
        self,
        path: StrPath,
        *,
        backend: str | None = None,
        role: Role = Role.SECONDARY,
        limit: int | None = None,
    ) -> StatusRoot:
        """Register a root. Raises `RootError` if it is no directory, `PluginError` for an unknown backend."""
        root = self._workspace.discover([path], backend=backend, known=False)[0]
        known = KnownRoot(root.path, root.backend, role, limit)
        others = [old for old in self._workspace.state.registered_roots() if old.path != known.path]
        if role is Role.PRIMARY:
            others = [replace(old, role=Role.SECONDARY) for old in others]
        self._workspace.state.register_roots([*others, known])
        return StatusRoot(
            path=known.path,
            backend=root.backend,
            role=role,
            files=0,
            bytes=0,
            limit=limit,
            online=True,
            source="added",
        )
