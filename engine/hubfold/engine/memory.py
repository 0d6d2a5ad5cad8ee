"""What hubfold remembers: answered from its state, its index and its journals; no root is walked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hubfold.content import USUAL, DuplicateSet, IndexedReplica, Root, Scope
from hubfold.disk.paths import canonical, why_not_a_folder, within
from hubfold.duplicates import sets
from hubfold.duplicates.cost import reclaimable
from hubfold.engine.workspace import MIN_SIZE, StrPath, Workspace
from hubfold.errors import HubfoldError, RootError, describe
from hubfold.index import housekeeping
from hubfold.index.housekeeping import Taken, keep_run_figures, run_figures, taken
from hubfold.journal.runs import Saved, run_names, saved
from hubfold.models import names
from hubfold.models.names import ModelName, Name
from hubfold.places import space
from hubfold.reports.scans import DupesReport, Space, StatusRoot, Unreferenced
from hubfold.scanning.choice import Chosen
from hubfold.state.home import KnownRoot

if TYPE_CHECKING:
    from hubfold.index.index import RootState
    from hubfold.reports.runs import RunDetail, RunSummary

#: Where a root is known from that nobody named: a scan met it.
LOOKED_AT = "scanned"
#: Where a root is known from that only the environment of a layout's programs names.
FOUND = "found"
#: Where a root is known from that a cache reaches by a link.
LINKED = "linked"

#: What the plan frees at each path, in bytes; asked with paths, the least size and the scope.
Freed = Callable[[Sequence[StrPath], int, Scope], Mapping[str, int]]
#: Of so many sets what is reclaimable is what the plan frees. Planning looks at each file's rights, folders and first
#: bytes (0.1 ms a set): of more it is what their sizes come to.
PLANNED_SETS = 2_000


class Memory:
    """Roots, duplicate sets and runs as they were last seen."""

    def __init__(self, workspace: Workspace, freed: Freed) -> None:
        self._workspace = workspace
        self._freed = freed

    def roots(self) -> list[StatusRoot]:
        """The known roots with what the last scan found in them, and those that could be scanned."""
        known = {root.path for root in self._workspace.known_roots()}
        known |= {one.folder for one in self._workspace.reached}
        return [root for root in self._with_looked_at() if root.source != LOOKED_AT or root.path in known]

    def _with_looked_at(self) -> list[StatusRoot]:
        """The known roots, and all that was only looked at."""
        states = (
            {state.root.path: state for state in self._workspace.index.states()}
            if self._workspace.has_index
            else {}
        )
        found: dict[str, StatusRoot] = {}
        before = {path: state.root for path, state in states.items()}
        sources = {self._path_of(one.root): one.sources for one in self._workspace.settled.settings}
        for source, named in self._workspace.sources():
            root = named if source == FOUND else self._workspace.resolved(named, before)
            state = states.pop(root.path, None)
            if root.path not in found and (source != FOUND or os.path.isdir(root.path)):
                told = self._told_of(root, state, source)
                if root.path in sources or source == FOUND:
                    found[root.path] = replace(told, sources=sources.get(root.path, {"path": source}))
                else:  # a limit, for the cache that is found anyway
                    limited = {"path": FOUND, "limit": source}
                    found[root.path] = replace(told, source=FOUND, sources=limited)
        behind = {one.folder for one in self._workspace.reached} if states else ()
        for state in states.values():
            found.setdefault(
                state.root.path,
                StatusRoot(
                    path=state.root.path,
                    backend=state.root.backend,
                    role=state.root.role,
                    files=state.files,
                    bytes=state.bytes,
                    limit=state.root.limit,
                    online=os.path.isdir(state.root.path),
                    source=LINKED if state.root.path in behind else LOOKED_AT,
                    error=_closed(state.root.path),
                ),
            )
        return self._workspace.with_primary(found.values())

    def _path_of(self, root: KnownRoot) -> str:
        return self._workspace.resolved(root).path

    def _told_of(self, root: KnownRoot, state: RootState | None, source: str) -> StatusRoot:
        """A root that somebody named, with what the last scan found in it."""
        away = self._workspace.named_in.away(root.path)
        online = os.path.isdir(root.path) and not away
        return StatusRoot(
            path=root.path,
            backend=root.backend or (state.root.backend if state else ""),
            role=root.role,
            files=state.files if state else 0,
            bytes=state.bytes if state else 0,
            limit=root.limit,
            online=online,
            source=source,
            name=root.name,
            used_bytes=space.used(root.path) if root.limit is not None and online else None,
            away=away or (not online and state is not None and state.files > 0),
            to_be_made=self._workspace.has_to_be_made(root, state is not None),
            error=_closed(root.path),
        )

    def known_models(self) -> list[str]:
        """See `Engine.known_models`."""
        found = self._workspace.index.models() if self._workspace.has_index else []
        called = [str(Name(kind, repo)) for kind, repo in found]
        return list(dict.fromkeys([*(self._workspace.models), *called]))

    def known_roots(self) -> list[str]:
        """See `Engine.known_roots`."""
        told = [one.root for one in self._workspace.settled.settings]
        scanned = self._workspace.index.roots() if self._workspace.has_index else []
        return sorted({root.path for root in told} | {root.path for root in scanned})

    def remove_root(self, path: StrPath) -> StatusRoot:
        """Forget a root; its files stay as they are.

        Raises `HubfoldError` if it is not known, or if it is one for other reasons than that it was added or scanned.
        """
        named = canonical(path)
        # A cache may be named by the folder above it.
        meant = self._workspace.resolved(KnownRoot(named)).path
        found = [root for root in self._with_looked_at() if root.path in (named, meant)]
        known = next((root for root in found if root.path == named), next(iter(found), None))
        wanted = {named} if known is not None and known.path == named else {named, meant}
        for where, hint, root in self._workspace.named_in.written():
            if self._path_of(root) in wanted:
                raise HubfoldError(f"{named} is a root by {where}", hint)
        registered = [root for root in self._workspace.state.registered_roots() if root.path not in wanted]
        removed = self._workspace.has_index and [
            one for one in wanted if self._workspace.index.remove_root(one)
        ]
        if len(registered) != len(self._workspace.state.registered_roots()):
            self._workspace.state.register_roots(registered)
            for one in wanted:
                self._workspace.named_in.forget(one)
        elif known is not None and not removed:
            raise HubfoldError(
                f"{known.path} is one of the caches that the environment names, and nothing else is known of it",
                "it is a root as long as HF_HOME, HF_HUB_CACHE and their like name it",
            )
        if known is None:
            raise HubfoldError(f"{named} is not among the roots", "see `hubfold roots`")
        return known

    def space(self, paths: Iterable[str], *, keep: bool = False) -> Space:
        """What the scanned roots at these paths take, with their vaults; `keep` the figures in the index."""
        wanted = set(paths)
        known = self._workspace.index.roots() if self._workspace.has_index else []
        roots = [root for root in known if root.path in wanted]
        caches = self._workspace.caches()
        found = Taken(0, 0, 0)
        if roots:
            found = taken(
                self._workspace.index,
                [root.path for root in roots if root.backend in caches],
                [root.path for root in roots if root.backend not in caches],
                [root.path for root in self._workspace.vaults_of(roots)],
                keep=keep,
            )
        return Space(
            cache_bytes=found.caches,
            copy_bytes=found.copies,
            vault_bytes=found.vaults,
            saved_bytes=self.saved(keep=keep),
            state_bytes=self._workspace.state.taken(),
        )

    def unreferenced(self) -> tuple[Unreferenced, ...]:
        """See `Engine.unreferenced`."""
        rows = housekeeping.unreferenced(self._workspace.index) if self._workspace.has_index else None
        return tuple(Unreferenced(*row) for row in rows or ())  # type: ignore[arg-type]

    def keep_unreferenced(self, found: Sequence[Unreferenced]) -> None:
        """For who asks before the next scan."""
        rows = [(one.what, one.files, one.bytes, one.command, one.path) for one in found]
        housekeeping.keep_unreferenced(self._workspace.index, rows)

    def saved(self, *, keep: bool = False) -> int | None:
        """See `Engine.saved`: None where a journal cannot be read, which is no matter of whoever asks this.

        `keep` the figures in the index: journals grow with every file that was ever folded.
        """
        index = self._workspace.index if self._workspace.has_index else None
        try:
            known = run_figures(index) if index is not None else {}
            found = saved(
                self._workspace.state.runs,
                {run: Saved(*figures) for run, figures in known.items() if len(figures) == 3},
                self._freed_by,
            )
        except (HubfoldError, OSError):
            return None
        figures = {run: (one.size, one.mtime_ns, one.bytes) for run, one in found.items()}
        if keep and index is not None and figures != known:
            keep_run_figures(index, figures)
        return sum(one.bytes for one in found.values())

    def _freed_by(self, run: str) -> int:
        # Loaded only where one has changed: they are a quarter of what a scan takes to load.
        from hubfold.journal import history, journal

        return history.freed(journal.read(self._workspace.state.runs, run))

    def dupes(
        self,
        paths: Sequence[StrPath] = (),
        *,
        limit: int | None = None,
        sort: str = "size",
        min_size: int = MIN_SIZE,
        scope: Scope = USUAL,
    ) -> DupesReport:
        """See `Engine.dupes`."""
        below = self._workspace.folders(paths)
        roots = self._workspace.roots_of(paths, only=scope.only)
        sets = [
            duplicates
            for duplicates in self.duplicate_sets(roots, min_size, scope)
            if not below
            or any(within(replica.path, folder) for replica in duplicates.replicas for folder in below)
        ]
        if len(sets) > PLANNED_SETS:
            sharing = self._workspace.sharing._replace(below=below)
            found = [(duplicates, reclaimable(duplicates, sharing)) for duplicates in sets]
        else:
            planned = self._freed(paths, min_size, scope) if sets else {}
            found = [
                (duplicates, sum(planned.get(replica.path, 0) for replica in duplicates.replicas))
                for duplicates in sets
            ]
        found.sort(key=lambda item: item[0].replicas[0].path)
        if sort == "size":
            found.sort(key=lambda item: -item[1])
        elif sort == "count":
            found.sort(key=lambda item: -len(item[0].replicas))
        return DupesReport(tuple(found[:limit]), sum(bytes_ for _, bytes_ in found))

    def duplicate_sets(
        self, roots: Mapping[str, Root], min_size: int, scope: Scope, only: str = "1"
    ) -> Iterator[DuplicateSet]:
        """The sets of the index with every path once: a path may have been scanned as part of two roots.

        `only` as in `sets.duplicate_sets`.
        """
        scope = self._workspace.scope(scope)
        wanted = [self._known_model(name) for name in scope.models]
        chosen = {
            path: Chosen(scope, root, self._workspace.backends[root.backend]) for path, root in roots.items()
        }
        for duplicates in sets.duplicate_sets(
            self._workspace.index, list(roots), min_size, only, shown=self._workspace.shown
        ):
            if wanted and not any(_is_of(replica, wanted) for replica in duplicates.replicas):
                continue
            distinct = {
                replica.path: replica
                for replica in duplicates.replicas
                if chosen[replica.root].keeps(replica)
            }
            if len(distinct) == len(duplicates.replicas):
                yield duplicates
            elif len({replica.payload for replica in distinct.values()}) > 1:
                yield duplicates._replace(replicas=tuple(distinct[path] for path in sorted(distinct)))

    def _known_model(self, name: str) -> ModelName:
        """What a name asks for. Raises `UnknownModel` where no file of such a model was scanned."""
        asked = self._workspace.model_name(name)
        known = [Name(*one) for one in self._workspace.index.models()]
        if asked.among(known) is None:
            raise names.unknown(
                name,
                map(str, known),
                "no scanned root holds a file of a",
                "see `hubfold ls` for what is there",
            )
        return asked

    def root_named(self, path: StrPath) -> str:
        """The known root that a user means: itself, or the folder above it. Raises `RootError` for any other path."""
        meant = self._workspace.resolved(KnownRoot(os.fspath(path))).path
        known = [root.path for root in self.roots()]
        if meant not in known:
            raise RootError(
                f"{os.fspath(path)} is no known root",
                f"known are {', '.join(known)}" if known else "see `hubfold roots`",
            )
        return meant

    def runs(self) -> list[RunSummary]:
        """Past runs, newest first. Raises `JournalDamaged`."""
        if not run_names(self._workspace.state.runs):
            return []
        from hubfold.journal import history, journal

        return [history.summary(log) for log in reversed(list(journal.logs(self._workspace.state.runs)))]

    def run(self, run: str) -> RunDetail:
        """One run action by action. Raises `RunNotFound`, `JournalDamaged`."""
        from hubfold.journal import history, journal

        return history.detail(journal.read(self._workspace.state.runs, run))


def _is_of(replica: IndexedReplica, models: Sequence[ModelName]) -> bool:
    return replica.repo_id is not None and any(
        model.means(replica.repo_type or "model", replica.repo_id) for model in models
    )


def _closed(folder: str) -> str:
    """Why this user cannot look into a folder that may well be there."""
    error = why_not_a_folder(folder)
    return describe(error) if isinstance(error, PermissionError) else ""
