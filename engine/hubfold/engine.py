"""`Engine`: every operation of hubfold, for the command line and for Python users alike. It prints nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from hubfold.content import DuplicateSet, IndexedReplica, LinkKind, Role, Root
from hubfold.errors import HubfoldError, Interrupted, LeftAlone, UsageError
from hubfold.lifecycle import Lifecycle
from hubfold.model_operations import ModelOperations
from hubfold.progress import Progress, Silent, Stop
from hubfold.state import KnownRoot, State, Verified
from hubfold.upkeep import Upkeep

if TYPE_CHECKING:
    from hubfold.backend import StorageBackend
    from hubfold.config import Config
    from hubfold.executor import Outcome
    from hubfold.farm import FarmPlan
    from hubfold.filesystem import FileSystems
    from hubfold.index import Index
    from hubfold.journal import Journal
    from hubfold.plan import Action, Plan
    from hubfold.registry import Registry
    from hubfold.reports import (
        ConsolidateReport,
        Done,
        DupesReport,
        Failed,
        FarmReport,
        GcReport,
        RecoverReport,
        RunDetail,
        RunSummary,
        ScanReport,
        StatusRoot,
        UndoReport,
        VerifyReport,
    )
    from hubfold.scan_reports import RootReport

StrPath = str | os.PathLike[str]
_Rooted = TypeVar("_Rooted", Root, "StatusRoot", "RootReport")

#: Files under this many bytes are left alone: they are what people edit.
MIN_SIZE = 1 << 20


class Engine(ModelOperations, Lifecycle, Upkeep):
    """One user's hubfold: its state directory, its plugins, its index.

    `home` is the state directory (default: ``HUBFOLD_HOME``, else the platform's). `progress` is told of long work;
    `stop` is asked between steps; `threads` read files. A context manager: leaving it closes the index.
    """

    def __init__(
        self,
        home: StrPath | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        progress: Progress | None = None,
        stop: Stop | None = None,
        threads: int | None = None,
    ) -> None:
        self.environ = environ
        self.state = State.locate(home, environ)
        self.progress: Progress = progress or Silent()
        self.stop = Stop() if stop is None else stop
        self.threads = threads or min(4, os.cpu_count() or 1)
        #: What the user should know about the state itself: an index begun anew, a plugin left out.
        self.notices: list[str] = []
        self._index: Index | None = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None

    @cached_property
    def registry(self) -> Registry:
        """The loaded backends. Raises `PluginError` where two have one name."""
        from hubfold import registry

        return registry.load(self.environ)

    @cached_property
    def config(self) -> Config:
        from hubfold import config

        found = config.load(self.state.config)
        self.notices += found.warnings
        return found

    @cached_property
    def _backends(self) -> dict[str, StorageBackend]:
        from hubfold.vault import NAME, VaultBackend

        return {NAME: VaultBackend(), **{name: self.registry.named(name) for name in self.registry}}

    @property
    def _open_index(self) -> Index:
        if self._index is None:
            from hubfold.index import Index

            self.state.create()
            self._index, notice = Index.open_or_rebuild(self.state.index)
            if notice is not None:
                self.notices.append(notice)
        return self._index

    # -- finding ------------------------------------------------------------------------------------------------

    def scan(
        self, paths: Sequence[StrPath] = (), *, backend: str | None = None, min_size: int = MIN_SIZE
    ) -> ScanReport:
        """Walk the roots, update the index, read what has to be read to know the duplicates.

        Without `paths`: the known roots and those that the backends find in the environment. Files under `min_size`
        bytes are not read. Raises `RootError`, `UsageError`, `IndexDamaged`, `Interrupted` (what was scanned stays
        known).
        """
        from hubfold import discover, scan
        from hubfold.scan_reports import Notice

        roots = discover.discover(
            paths, self._backends, known=self._known_roots(), backend=backend, environ=self.environ
        )
        with ThreadPoolExecutor(self.threads, "hubfold-read") as pool:
            report = scan.scan(
                roots,
                self._backends,
                self._open_index,
                min_size=min_size,
                executor=pool,
                progress=self.progress,
                stop=self.stop,
                shared_extents=self._shared_extents,
            )
        liars = self._open_index.liars([root.path for root in report.roots])
        told = [Notice(liar.path, "its bytes are not what its name says: it is corrupt") for liar in liars]
        self.notices += [str(broken) for broken in self.registry.broken if str(broken) not in self.notices]
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
        from hubfold.reports import DupesReport
        from hubfold.scan import reclaimable

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

    def verify(self, targets: Sequence[StrPath] = (), *, restart: bool = False) -> VerifyReport:
        """Read content again and compare it with claims and index; `targets` are paths or models (default: all).

        What a call that was cut short has found good is not read again, unless `restart` begins anew. What was never
        scanned is scanned first. Raises `RootError`, `HubfoldError` for a target that is neither.
        """
        from hubfold import verify
        from hubfold.walk import within

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
        from hubfold import verify

        with ThreadPoolExecutor(self.threads, "hubfold-read") as pool:
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
        from hubfold import discover
        from hubfold.discover import canonical
        from hubfold.model_names import Name, UnknownModel, meant

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

    # -- folding ------------------------------------------------------------------------------------------------

    def plan(
        self,
        paths: Sequence[StrPath] = (),
        *,
        link: LinkKind | None = None,
        min_size: int = MIN_SIZE,
        into: StrPath | None = None,
        across_owners: bool = False,
    ) -> Plan:
        """What `apply` would do with the duplicates of the last scan; nothing is changed.

        `link` forces one kind, `into` names the cache whose copies are kept first and whose vault is used,
        `across_owners` folds files of several users together. `min_size` in bytes.
        """
        from hubfold import planner, survey
        from hubfold.plan import Skip

        roots = self._roots_of([*paths, into] if paths and into is not None else paths)
        sets = list(self._duplicate_sets(list(roots), min_size))
        around = survey.survey(sets, roots, self._backends)
        chosen = None
        if into is not None:
            chosen = next(iter(self._roots_of([into])), None)
            if chosen is None:
                raise HubfoldError(
                    f"{os.fspath(into)} is no scanned root", f"run `hubfold scan {os.fspath(into)}`"
                )
        sets = [s for s in sets if all(os.path.dirname(r.path) in around.filesystems for r in s.replicas)]
        found = planner.plan(sets, planner.Policy(link, chosen, across_owners), around)
        corrupt = [Skip(liar.path, planner.LIES) for liar in self._open_index.liars(list(roots))]
        return replace(
            found, skipped=(*found.skipped, *(skip for skip in corrupt if skip not in found.skipped))
        )

    def preview(self, plan: Plan) -> ConsolidateReport:
        """A plan in the form of a report, with no run."""
        from hubfold.reports import ConsolidateReport, Left

        return ConsolidateReport(
            None,
            tuple(_done(action) for action in plan.actions),
            tuple(Left(skip.path, skip.reason) for skip in plan.skipped),
            (),
            plan.bytes,
            plan.notes,
        )

    def apply(self, plan: Plan) -> ConsolidateReport:
        """Apply a plan under a journal; every path that could not be replaced is in `failed` with the reason.

        Raises `Locked`, `JournalDamaged` (nothing is changed then), `OSError` if the journal cannot be written.
        """
        from hubfold import journal, recovery, runs
        from hubfold.executor import Executor
        from hubfold.reports import ConsolidateReport, Failed, Left

        with runs.exclusive(self.state, "consolidate"):
            runs.recover(self.state)
            interrupted = False
            with self._begin("consolidate") as book:
                executor = Executor(
                    book, locks=self._lock_paths, readers=self.threads, progress=self.progress, stop=self.stop
                )
                try:
                    executor.apply(plan)
                except Interrupted:
                    interrupted = True
                book.sync()
                log = journal.read(self.state.runs, book.run)
                recovery.restore_keepers(log, ())
                if not log.open_numbers:
                    book.append("end", state="interrupted" if interrupted else "finished")
            outcomes = executor.outcomes
            self._note_outcomes(outcomes)
            failed = [Failed(o.action.path, o.error + self._which_lies(o)) for o in outcomes if o.error]
        return ConsolidateReport(
            book.run,
            tuple(_done(outcome.action) for outcome in outcomes if not outcome.error),
            tuple(Left(skip.path, skip.reason) for skip in plan.skipped),
            tuple(failed),
            _freed(outcomes),
            plan.notes,
            interrupted,
        )

    # -- taking back --------------------------------------------------------------------------------------------

    def runs(self) -> list[RunSummary]:
        """Past runs, newest first. Raises `JournalDamaged`."""
        from hubfold import history, journal

        return [history.summary(log) for log in reversed(list(journal.logs(self.state.runs)))]

    def run(self, run: str) -> RunDetail:
        """One run action by action. Raises `RunNotFound`, `JournalDamaged`."""
        from hubfold import history, journal

        return history.detail(journal.read(self.state.runs, run))

    def preview_undo(self, run: str | None = None) -> UndoReport:
        """What taking `run` (default: the last one) back would do. Raises `RunNotFound`, `NoSpace`."""
        from hubfold import history, runs, undo
        from hubfold.reports import UndoReport

        log, logs = runs.find(self.state, run)
        expected = undo.preview(log, history.folded_again(logs, log), history.keeper_changes(logs))
        links = [link.path for link in log.farm_links if not log.undone]
        return UndoReport(
            log.run,
            (*expected.restored, *links),
            tuple(expected.left),
            tuple(expected.failed),
            expected.bytes_needed,
            kept=tuple(expected.kept),
        )

    def undo(self, run: str | None = None) -> UndoReport:
        """Take `run` (default: the last one) back. Raises `RunNotFound`, `NoSpace` and `Locked` before any change."""
        from hubfold import farm, history, journal, runs, undo
        from hubfold.reports import UndoReport

        with runs.exclusive(self.state, "undo"):
            runs.recover(self.state)
            log, logs = runs.find(self.state, run)
            used = history.keepers_in_use(logs, but=log.run)
            undone = undo.Undone()
            interrupted = False
            with journal.Journal.reopen(log) as book:
                removed, left, failed = farm.take_back(log)
                try:
                    undone = undo.take_back(
                        log,
                        book,
                        used_elsewhere=used,
                        changes=history.keeper_changes(logs),
                        refolded=history.folded_again(logs, log),
                        rest_failed=bool(failed),
                        progress=self.progress,
                        stop=self.stop,
                    )
                except Interrupted:
                    interrupted = True
        return UndoReport(
            log.run,
            (*removed, *undone.restored),
            (*left, *undone.left),
            (*failed, *undone.failed),
            undone.bytes_needed,
            interrupted,
            tuple(undone.kept),
        )

    def recover(self, *, forget: bool = False) -> RecoverReport:
        """Finish or roll back what a crash left. Every changing call does this first.

        With `forget`, what cannot be looked at (its drive is gone for good) is given up, and not tried again.
        """
        from hubfold import runs
        from hubfold.reports import RecoverReport

        if not runs.unsettled(self.state):
            return RecoverReport()
        with runs.exclusive(self.state, "recover"):
            return runs.recover(self.state, forget=forget)

    # -- the vault ----------------------------------------------------------------------------------------------

    def preview_gc(self) -> GcReport:
        """The vault objects that no link needs, with what removing them frees."""
        from hubfold import gc
        from hubfold.reports import GcReport

        garbage, kept = gc.look(
            self._vaults(), [root.path for root in self._open_index.roots()], self._links_made()
        )
        return GcReport(
            tuple(item.path for item in garbage), sum(item.bytes for item in garbage), tuple(kept)
        )

    def gc(self) -> GcReport:
        """Remove the vault objects that no link needs, and vaults that are empty."""
        from hubfold import gc, runs

        with runs.exclusive(self.state, "gc"):
            runs.recover(self.state)
            vaults = self._vaults()
            roots = [root.path for root in self._open_index.roots()]
            report = gc.remove(*gc.look(vaults, roots, self._links_made()))
            for path in vaults:
                gc.clear_empty(path)
            for path in report.removed:
                self._open_index.forget(path)
        return report

    def _links_made(self) -> Iterator[str]:
        from hubfold import journal

        return (path for log in journal.logs(self.state.runs) for path in log.links_made())

    def _vault_for(self, root: str) -> str:
        """Where the vault for files of a root is or would be. Raises `LeftAlone` where there can be none."""
        from hubfold import vault
        from hubfold.survey import vault_places

        if vault.is_vault(root):
            return root
        known = self._open_index.root_at(root)
        here = self._filesystems.of(root)
        for place in vault_places(known, self._backends, self._filesystems) if known is not None else ():
            if place.writable and place.filesystem.links_to(here):
                return place.path
        raise LeftAlone(f"there is no place for a vault on the file system of {root}")

    def _vaults(self) -> list[str]:
        """Every vault that a known root may have or a run has used, and that is there."""
        from hubfold import journal, vault

        roots = self._open_index.roots(vaults=True) if self._has_index else []
        candidates = [root.path for root in roots if root.backend == vault.NAME]
        for root in roots:
            if root.backend != vault.NAME and root.backend in self._backends:
                candidates += self._backends[root.backend].vault_places(root)
        for log in journal.logs(self.state.runs):
            candidates += [vault.of_object(path) for path in log.objects]
        return [path for path in dict.fromkeys(candidates) if vault.is_vault(path)]

    # -- roots --------------------------------------------------------------------------------------------------

    def roots(self) -> list[StatusRoot]:
        """The known roots with what the last scan found in them, and those that could be scanned."""
        from hubfold.reports import StatusRoot

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

    @property
    def _has_index(self) -> bool:
        return self._index is not None or os.path.exists(self.state.index)

    def _sources(self) -> Iterator[tuple[str, KnownRoot]]:
        for root in self.state.registered_roots():
            yield "added", root
        for root in self.config.roots:
            yield "config", root
        for name in self.registry:
            for path in self._backends[name].default_roots(self.environ):
                yield "found", KnownRoot(os.path.realpath(path), name)

    def add_root(
        self,
        path: StrPath,
        *,
        backend: str | None = None,
        role: Role = Role.SECONDARY,
        limit: int | None = None,
    ) -> StatusRoot:
        """Register a root. Raises `RootError` if it is no directory, `PluginError` for an unknown backend."""
        from hubfold import discover
        from hubfold.reports import StatusRoot

        root = discover.discover([path], self._backends, backend=backend, environ=self.environ)[0]
        known = KnownRoot(root.path, root.backend, role, limit)
        others = [old for old in self.state.registered_roots() if old.path != known.path]
        if role is Role.PRIMARY:
            others = [replace(old, role=Role.SECONDARY) for old in others]
        self.state.register_roots([*others, known])
        return StatusRoot(known.path, root.backend, role, 0, 0, limit, True, "added")

    def remove_root(self, path: StrPath) -> StatusRoot:
        """Forget a root; its files stay as they are. Raises `HubfoldError` if it is not known."""
        from hubfold.discover import canonical

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

    # -- farms --------------------------------------------------------------------------------------------------

    def preview_farm(self, path: StrPath, models: Sequence[str] = ()) -> FarmReport:
        """What building or refreshing the farm at `path` would do. Scans the caches first."""
        return _farm_report(self._plan_farm(path, models), None, ())

    def farm(
        self, path: StrPath, models: Sequence[str] = (), *, snapshots: Sequence[StrPath] = ()
    ) -> FarmReport:
        """Build or refresh the farm at `path` with links to `models` (default: all). Journalled, can be undone.

        `snapshots` names folders of revisions instead; a single one is linked without its model's name before it.
        """
        from hubfold import farm, runs

        plan = self._plan_farm(path, models, snapshots)
        if not plan.changes:
            return _farm_report(plan, None, ())
        with runs.exclusive(self.state, "farm"):
            runs.recover(self.state)
            with self._begin("farm") as book:
                state = "finished"
                try:
                    failed = farm.build(plan, book, progress=self.progress, stop=self.stop)
                except Interrupted:
                    state, failed = "interrupted", []
                book.append("end", state=state)
        return _farm_report(plan, book.run, failed)

    def _plan_farm(self, path: StrPath, models: Sequence[str], snapshots: Sequence[StrPath] = ()) -> FarmPlan:
        from hubfold import farm
        from hubfold.walk import TreeWalk

        asked = [self.model_name(model) for model in models]
        folder = os.path.abspath(os.path.expanduser(os.fspath(path)))
        if os.path.lexists(folder) and not os.path.isdir(folder):
            raise HubfoldError(f"{folder} is no directory", "name a folder for the farm, new or existing")
        self.scan()
        only = {os.path.realpath(one) for one in snapshots}
        roots = self._by_role(self._open_index.roots(vaults=True))
        found = [
            snapshot
            for root in roots
            # Copies and farms come from caches in their turn.
            if self._backends[root.backend].capabilities.cache
            for snapshot in self._backends[root.backend].snapshots(root, TreeWalk(root, self._backends))
        ]
        chosen = [one for one in found if one.path in only] if only else farm.chosen(found, asked)
        places = {root.path: root for root in roots}
        wanted, left = farm.wanted_links(
            chosen, folder, self._open_index, places, self._backends, flat=len(only) == 1
        )
        return farm.compare(folder, wanted, left)

    # -- what the operations share ------------------------------------------------------------------------------

    def _begin(self, command: str) -> Journal:
        from hubfold import __version__
        from hubfold.journal import Journal

        return Journal.create(self.state.runs, command, __version__)

    def _known_roots(self) -> list[Root]:
        """What the user registered or configured, and what was scanned before."""
        from hubfold.discover import FALLBACK, canonical, recognise

        known: dict[str, Root] = {}
        for source, root in self._sources():
            path = canonical(root.path)
            if source == "found" or path in known:
                continue
            backend = root.backend
            if backend is None:
                names = os.listdir(path) if os.path.isdir(path) else []
                recognised = recognise(path, names, self._backends)
                backend, path = recognised if recognised is not None else (FALLBACK, path)
            known.setdefault(path, Root(path, backend, root.role, root.limit))
        for old in self._open_index.roots() if self._has_index else ():
            known.setdefault(old.path, old)
        return [root for root in known.values() if root.backend in self._backends]

    def _roots_of(self, paths: Sequence[StrPath]) -> dict[str, Root]:
        """The scanned roots at or below `paths` (all of them without any), and their vaults."""
        from hubfold import vault
        from hubfold.discover import canonical
        from hubfold.walk import within

        roots = self._open_index.roots(vaults=True)
        if paths:
            wanted = [canonical(path) for path in paths]
            chosen = [root for root in roots if any(within(root.path, path) for path in wanted)]
            if not chosen:
                names = ", ".join(map(str, paths))
                raise HubfoldError(f"{names}: no root was scanned there", f"run `hubfold scan {names}` first")
            places = {
                place
                for root in chosen
                if root.backend in self._backends
                for place in self._backends[root.backend].vault_places(root)
            }
            roots = [
                root
                for root in roots
                if root in chosen or (root.backend == vault.NAME and root.path in places)
            ]
        return {root.path: root for root in self._by_role(roots) if root.backend in self._backends}

    def _by_role(self, roots: Iterable[Root]) -> list[Root]:
        """Primary first."""
        return sorted(self._with_primary(roots), key=lambda root: (root.role is not Role.PRIMARY, root.path))

    def _with_primary(self, roots: Iterable[_Rooted]) -> list[_Rooted]:
        """The same; where the user chose no primary one, the first cache that a backend names by default is it."""
        found = list(roots)
        if not any(root.role is Role.PRIMARY for root in found):
            defaults = [root.path for source, root in self._sources() if source == "found"]
            first = next((path for path in defaults if any(root.path == path for root in found)), None)
            found = [replace(root, role=Role.PRIMARY) if root.path == first else root for root in found]
        return found

    def _duplicate_sets(self, roots: Iterable[str], min_size: int) -> Iterator[DuplicateSet]:
        """The sets of the index with every path once: a path may have been scanned as part of two roots."""
        for duplicates in self._open_index.duplicate_sets(list(roots), min_size):
            distinct = {replica.path: replica for replica in duplicates.replicas}
            if len({replica.payload for replica in distinct.values()}) > 1:
                yield replace(duplicates, replicas=tuple(distinct[path] for path in sorted(distinct)))

    def _lock_paths(self, action: Action) -> Sequence[str]:
        backend = self._backends[action.victim.backend]
        return backend.lock_paths(Root(action.victim.root, action.victim.backend), action.path)

    def _shared_extents(self, replica: IndexedReplica) -> object:
        from hubfold.sharing import shared_extents

        return shared_extents(replica, self._filesystems)

    @cached_property
    def _filesystems(self) -> FileSystems:
        from hubfold.filesystem import FileSystems

        return FileSystems()

    def _note_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Bring the index up to date with what we did ourselves: our links and renames moved ctimes.

        What was computed goes on to hold for a path whose bytes were compared just now.
        """
        index = self._open_index
        with index.batch():
            for outcome in outcomes:
                for path in (outcome.action.keeper.path, outcome.action.path):
                    self._note_path(index, path, proven=not outcome.error)

    def _note_path(self, index: Index, path: str, *, proven: bool) -> None:
        known = index.replica(path)
        if known is None:
            return
        try:
            st = os.lstat(path)
        except OSError:
            return
        if stat.S_ISREG(st.st_mode) and proven:
            index.refresh(path, st, keep_digests_of=known.signature)
        elif not stat.S_ISREG(st.st_mode):
            index.forget(path)

    def _which_lies(self, outcome: Outcome) -> str:
        """Two files with equal digests turned out to differ: read both and say which is not what it says."""
        if not outcome.differs:
            return ""
        paths = [outcome.action.keeper.path, outcome.action.path]
        replicas = [replica for path in paths if (replica := self._open_index.replica(path)) is not None]
        problems = self._verify(replicas).problems
        return "".join(f"; {problem.kind}: {problem.path}: {problem.message}" for problem in problems)


def _done(action: Action) -> Done:
    from hubfold.reports import Done

    return Done(action.path, action.keeper.path, action.target, str(action.link), action.reason, action.bytes)


def _freed(outcomes: Sequence[Outcome]) -> int:
    """What the file systems got back: a payload's blocks only where all its names were replaced."""
    stuck = {outcome.action.victim.payload for outcome in outcomes if outcome.error}
    return sum(o.action.bytes for o in outcomes if not o.error and o.action.victim.payload not in stuck)


def _farm_report(plan: FarmPlan, run: str | None, failed: Sequence[Failed]) -> FarmReport:
    from hubfold.reports import FarmReport

    missing = {failure.path for failure in failed}
    added = [*(item.name for item in plan.add), *(item.name for item, _ in plan.replace)]
    return FarmReport(
        plan.path,
        run,
        tuple(path for name in added if (path := os.path.join(plan.path, name)) not in missing),
        plan.keep,
        tuple(os.path.join(plan.path, name) for name, _ in plan.remove),
        plan.left,
        tuple(failed),
    )
