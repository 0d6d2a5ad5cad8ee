"""What `Engine` does to find and check content: roots, scan, duplicates, verify."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hubfold.content import DuplicateSet, IndexedReplica, Role
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.errors import HubfoldError, UsageError
from hubfold.reading.pool import Threads
from hubfold.state.home import KnownRoot
from hubfold.state.verified import Verified

if TYPE_CHECKING:
    from hubfold.reports.health import VerifyReport
    from hubfold.reports.runs import ScanReport
    from hubfold.reports.scans import DupesReport, StatusRoot

#: Files under this many bytes are left alone: they are what people edit.
MIN_SIZE = 1 << 20


class Finding(Workspace):
    """The part of `Engine` that changes nothing but the index and the list of roots."""

    def scan(
        self, paths: Sequence[StrPath] = (), *, backend: str | None = None, min_size: int = MIN_SIZE
    ) -> ScanReport:
        """Walk the roots, update the index, read what has to be read to know the duplicates.

        Without `paths`: the known roots and those that the backends find in the environment. Files under `min_size`
        bytes are not read. Raises `RootError`, `UsageError`, `IndexDamaged`, `Interrupted` (what was scanned stays
        known).
        """
        from hubfold.reports.outcomes import Notice
        from hubfold.scanning import discover, scan

        roots = discover.discover(
            paths, self._backends, known=self._known_roots(), backend=backend, environ=self.environ
        )
        with Threads(self.threads) as pool:
            report = scan.scan(
                roots,
                self._backends,
                self._open_index,
                min_size=min_size,
                executor=pool,
                progress=self.progress,
                stop=self.stop,
                shared_extents=self._shared_extents,
                may_share=self._may_share,
            )
        liars = self._open_index.liars([root.path for root in report.roots])
        told = [Notice(liar.path, "its bytes are not what its name says: it is corrupt") for liar in liars]
        left_out = {root.path for root in report.roots if root.left_out}
        told += [Notice.of(fault) for fault in self.faults if fault.root not in left_out]
        self.left_out = left_out | self.left_out.difference(root.path for root in report.roots)
        return replace(
            report, roots=tuple(self._with_primary(report.roots)), warnings=(*report.warnings, *told)
        )

    def dupes(
        self,
        paths: Sequence[StrPath] = (),
        *,
        limit: int | None = None,
        sort: str = "size",
        min_size: int = MIN_SIZE,
    ) -> DupesReport:
        """The duplicate sets of the last scan, from the index; `sort` is size (to reclaim), count or path."""
        from hubfold.duplicates.cost import reclaimable
        from hubfold.reports.scans import DupesReport

        found = [
            (duplicates, reclaimable(duplicates, self._shared_extents))
            for duplicates in self._duplicate_sets(self._roots_of(paths), min_size)
        ]
        found.sort(key=lambda item: item[0].replicas[0].path)
        if sort == "size":
            found.sort(key=lambda item: -item[1])
        elif sort == "count":
            found.sort(key=lambda item: -len(item[0].replicas))
        return DupesReport(tuple(found[:limit]), sum(bytes_ for _, bytes_ in found))

    def _duplicate_sets(self, roots: Iterable[str], min_size: int) -> Iterator[DuplicateSet]:
        """The sets of the index with every path once: a path may have been scanned as part of two roots."""
        from hubfold.duplicates import sets

        for duplicates in sets.duplicate_sets(self._open_index, list(roots), min_size):
            distinct = {replica.path: replica for replica in duplicates.replicas}
            if len({replica.payload for replica in distinct.values()}) > 1:
                yield replace(duplicates, replicas=tuple(distinct[path] for path in sorted(distinct)))

    def _shared_extents(self, replica: IndexedReplica) -> object:
        from hubfold.reading.extents import shared_extents

        return shared_extents(replica, self._filesystems)

    def _may_share(self, folder: str) -> bool:
        try:
            return self._filesystems.of(folder).pool != ""
        except OSError:
            return True

    def verify(self, targets: Sequence[StrPath] = (), *, restart: bool = False) -> VerifyReport:
        """Read content again and compare it with claims and index; `targets` are paths or models (default: all).

        What a call that was cut short has found good is not read again, unless `restart` begins anew. What was never
        scanned is scanned first. Raises `RootError`, `HubfoldError` for a target that is neither.
        """
        from hubfold.care import verify
        from hubfold.disk.paths import within

        replicas: dict[str, IndexedReplica] = {}
        places: list[str] = []
        for target in targets:
            found, place = self._replicas_of(os.fspath(target))
            replicas.update((replica.path, replica) for replica in found)
            places.append(place)
        if not targets:
            if not self._open_index.roots():
                self.scan()
            for root in self._open_index.roots(vaults=True):
                replicas.update((replica.path, replica) for replica in self._open_index.replicas(root.path))
            found = verify.unscanned_objects(self._vaults(), replicas.values())
            replicas.update((replica.path, replica) for replica in found)
        asked = [
            path
            for path in dict.fromkeys(self._links_made())
            if not places or any(p and within(path, p) for p in places)
        ]
        if restart:
            self.state.verified.forget()
        return self._verify(replicas.values(), asked, self.state.verified)

    def _verify(
        self,
        replicas: Iterable[IndexedReplica],
        links: Iterable[str] = (),
        verified: Verified | None = None,
    ) -> VerifyReport:
        from hubfold.care import verify

        with Threads(self.threads) as pool:
            return verify.verify(
                replicas,
                self._open_index,
                executor=pool,
                links=links,
                progress=self.progress,
                stop=self.stop,
                verified=verified,
            )

    def _replicas_of(self, target: str) -> tuple[list[IndexedReplica], str]:
        """(what is known at a path or of a model, the path or "")."""
        from hubfold.disk.paths import canonical
        from hubfold.models.names import Name, UnknownModel, meant
        from hubfold.scanning import discover

        path = canonical(os.path.expanduser(target))
        if os.path.lexists(path):
            found = list(self._open_index.below(path))
            if not found:
                self.scan([path if os.path.isdir(path) else os.path.dirname(path)])
                found = list(self._open_index.below(path))
            return found, path
        try:
            asked = self.model_name(target)
        except UsageError:
            raise discover.missing(path) from None
        if not self._open_index.roots():
            self.scan()
        by_name: dict[Name, list[IndexedReplica]] = {}
        for root in self._open_index.roots():
            for replica in self._open_index.replicas(root.path):
                if replica.repo_id is not None:
                    name = Name(replica.repo_type or "model", replica.repo_id)
                    by_name.setdefault(name, []).append(replica)
        chosen = asked.among(by_name)
        if chosen is None:
            known = [*(self.config.models or ()), *map(str, by_name)]
            raise UnknownModel(
                f"{target} is neither a path nor a model of a scanned root",
                meant(target, [*known, *discover.near(path)]) or "`hubfold scan` shows what there is",
            )
        return by_name[chosen], ""

    def roots(self) -> list[StatusRoot]:
        """The known roots with what the last scan found in them, and those that could be scanned."""
        from hubfold.reports.scans import StatusRoot

        states = {state.root.path: state for state in self._open_index.states()} if self._has_index else {}
        found: dict[str, StatusRoot] = {}
        for source, root in self._sources():
            state = states.pop(root.path, None)
            if root.path not in found and (source != "found" or os.path.isdir(root.path)):
                found[root.path] = StatusRoot(
                    root.path,
                    root.backend or (state.root.backend if state else ""),
                    root.role,
                    state.files if state else 0,
                    state.bytes if state else 0,
                    root.limit,
                    os.path.isdir(root.path),
                    source,
                )
        for state in states.values():
            found.setdefault(
                state.root.path,
                StatusRoot(
                    state.root.path,
                    state.root.backend,
                    state.root.role,
                    state.files,
                    state.bytes,
                    state.root.limit,
                    os.path.isdir(state.root.path),
                    "scanned",
                ),
            )
        return self._with_primary(found.values())

    def add_root(
        self,
        path: StrPath,
        *,
        backend: str | None = None,
        role: Role = Role.SECONDARY,
        limit: int | None = None,
    ) -> StatusRoot:
        """Register a root. Raises `RootError` if it is no directory, `PluginError` for an unknown backend."""
        from hubfold.reports.scans import StatusRoot
        from hubfold.scanning import discover

        root = discover.discover([path], self._backends, backend=backend, environ=self.environ)[0]
        known = KnownRoot(root.path, root.backend, role, limit)
        others = [old for old in self.state.registered_roots() if old.path != known.path]
        if role is Role.PRIMARY:
            others = [replace(old, role=Role.SECONDARY) for old in others]
        self.state.register_roots([*others, known])
        return StatusRoot(known.path, root.backend, role, 0, 0, limit, True, "added")

    def remove_root(self, path: StrPath) -> StatusRoot:
        """Forget a root; its files stay as they are. Raises `HubfoldError` if it is not known."""
        from hubfold.disk.paths import canonical

        wanted = canonical(os.path.expanduser(os.fspath(path)))
        known = next((root for root in self.roots() if root.path == wanted), None)
        registered = [root for root in self.state.registered_roots() if root.path != wanted]
        removed = self._has_index and self._open_index.remove_root(wanted)
        if len(registered) != len(self.state.registered_roots()):
            self.state.register_roots(registered)
        elif known is None or not removed:
            raise HubfoldError(f"{wanted} is not among the roots", "see `hubfold roots`")
        assert known is not None
        return known
