"""Finding roots and content: what changes the index and the list of roots, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hubfold.content import USUAL, Role, Scope
from hubfold.disk.paths import within
from hubfold.engine.workspace import MIN_SIZE, StrPath, Workspace
from hubfold.reading.pool import Readers, Threads
from hubfold.reports.outcomes import Notice
from hubfold.reports.scans import RootReport, ScanReport, StatusRoot
from hubfold.scanning import scan
from hubfold.state.home import KnownRoot


class Scanning:
    """Scans, and roots that a user adds."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def scan(
        self,
        paths: Sequence[StrPath] = (),
        *,
        backend: str | None = None,
        min_size: int = MIN_SIZE,
        scope: Scope = USUAL,
    ) -> ScanReport:
        """See `Engine.scan`."""
        roots = self._workspace.discover(paths, backend=backend, around=not scope.only)
        below = self._workspace.folders(paths)
        given = {root.path: root for root in roots if _lies_below(root.path, below)}
        self._workspace.given |= given
        sharing = self._workspace.sharing
        with Threads(self._workspace.threads) as pool:
            report = scan.scan(
                roots,
                self._workspace.backends,
                self._workspace.index,
                Readers(pool, self._workspace.progress, self._workspace.stop),
                min_size=min_size,
                sharing=sharing if len(given) == len(roots) else replace(sharing, below=below),
                scope=self._workspace.scope(scope),
            )
        liars = self._workspace.index.liars([root.path for root in report.roots])
        told = [Notice(liar.path, "its bytes are not what its name says: it is corrupt") for liar in liars]
        self._workspace.notices += [
            str(broken)
            for broken in self._workspace.registry.broken
            if str(broken) not in self._workspace.notices
        ]
        told_of = _told_of(self._workspace.with_primary(report.roots), below)
        return replace(
            report,
            roots=told_of,
            files=sum(root.files for root in told_of),
            bytes=sum(root.bytes for root in told_of),
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


def _told_of(roots: Sequence[RootReport], below: Sequence[str]) -> tuple[RootReport, ...]:
    """The roots of the paths that were given, and of the others those that could not be compared with."""
    return tuple(
        root
        for root in roots
        if not below
        or root.error is not None
        or _lies_below(root.path, below)
        or any(within(folder, root.path) for folder in below)
    )


def _lies_below(path: str, folders: Sequence[str]) -> bool:
    return any(within(path, folder) for folder in folders)
