"""Folders of other programs, given what a cache has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from hubfold.backend.boundary import GuardedBackend
from hubfold.content import Root, Snapshot
from hubfold.disk.paths import canonical, within
from hubfold.engine import running
from hubfold.engine.scanning import Scanning
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.errors import HubfoldError, Interrupted, LeftAlone, UsageError
from hubfold.farm import build, give, store
from hubfold.farm import plan as farm_plan
from hubfold.farm.plan import Sources
from hubfold.farm.store import NothingToGive, StorePlan, Wanted
from hubfold.faults import BackendFault
from hubfold.journal import journal, keepers
from hubfold.journal.journal import Journal
from hubfold.journal.others import as_they_lie_now
from hubfold.library.inventory import HeldRevision, Holdings
from hubfold.reports.outcomes import Failed
from hubfold.reports.runs import FarmReport


class Programs:
    """Fills and refreshes the folders of programs."""

    def __init__(self, workspace: Workspace, scanning: Scanning) -> None:
        self._workspace = workspace
        self._scanning = scanning

    def names(self) -> tuple[str, ...]:
        """See `Engine.programs`."""
        return tuple(sorted(name for name, backend in self._workspace.backends.items() if backend.shows))

    def _backend(self, program: str) -> GuardedBackend:
        names = self.names()
        if program not in names:
            known = ", ".join(names) or "none"
            raise UsageError(
                f"no program is called {program!r} that models can be given to", f"known: {known}"
            )
        return self._workspace.backends[program]

    def _folder(self, program: str) -> str:
        """Where the program keeps its models on this machine."""
        places = self._backend(program).default_roots(self._workspace.environ)
        there = next((place for place in places if os.path.isdir(place)), None)
        if there is None:
            told = f": {' and '.join(places)} are not there" if places else ""
            raise UsageError(f"{program} has no folder on this machine{told}", "name a folder for it")
        return there

    def root(self, program: str, path: StrPath | None) -> Root:
        """The root of a program at the folder that a user names, or at its own. Raises `UsageError`, `HubfoldError`."""
        backend = self._backend(program)
        folder = farm_folder(canonical(self._folder(program) if path is None else path))
        names = os.listdir(folder) if os.path.isdir(folder) else []
        found = backend.recognise(folder, names)
        root = Root(folder if found is None else canonical(found), program)
        for cache in self._workspace.discover():
            other = self._workspace.backends.get(cache.backend)
            if cache.backend == program or other is None or not other.capabilities.cache:
                continue
            if within(root.path, cache.path):
                raise UsageError(
                    f"{root.path} is a part of the {cache.backend} {cache.path}", "name another folder"
                )
        return root

    def preview(self, program: str, path: StrPath, models: Sequence[str]) -> FarmReport:
        """What filling or refreshing the folder of a program would do. Scans the caches first."""
        return _report(self.plan(program, path, models), None, ())

    def fill(
        self, program: str, path: StrPath, models: Sequence[str], snapshots: Sequence[StrPath] = ()
    ) -> FarmReport:
        """See `Engine.farm`."""
        plan = self.plan(program, path, models, snapshots)
        if not plan.changes:
            return _report(plan, None, ())
        with running.changing(self._workspace, "farm") as book:
            state, failed = "finished", []
            try:
                failed = self._carry_out(plan, book)
            except Interrupted:
                state = "interrupted"
            finally:
                if not plan.links.changes:
                    # A file that was to have a name there, and has none, is as it was.
                    book.sync()
                    keepers.restore_keepers(journal.read(self._workspace.state.runs, book.run))
            book.append("end", state=state)
        return _report(plan, book.run, failed)

    def _carry_out(self, plan: StorePlan, book: Journal) -> list[Failed]:
        progress, stop = self._workspace.progress, self._workspace.stop
        failed: list[Failed] = []
        if plan.links.changes:
            failed += build.build(plan.links, book, progress=progress, stop=stop, marked=False)

        def locks(path: str) -> Sequence[str]:
            with _left_alone():
                return self._workspace.lock_paths(plan.root, path)

        def is_needed(path: str) -> bool:
            backend = self._workspace.backends[plan.root.backend]
            walk = self._workspace.holdings([plan.root]).walk(plan.root)
            with _left_alone():
                return backend.tells_need and bool(backend.still_needed(plan.root, (path,), walk))

        asked = give.Asked(locks, is_needed)
        return failed + give.give(plan, book, asked, progress=progress, stop=stop)

    def plan(
        self, program: str, path: StrPath, models: Sequence[str], snapshots: Sequence[StrPath] = ()
    ) -> StorePlan:
        """What the folder of a program is to have. Scans first."""
        asked = [self._workspace.model_name(model) for model in models]
        root = self.root(program, path)
        self._scanning.scan()
        roots = self._workspace.by_role(self._workspace.scanned(vaults=True))
        holdings = self._workspace.holdings(roots)
        only = {os.path.realpath(one) for one in snapshots}
        revisions = [one.snapshot for one in self._of_caches(holdings, root)]
        chosen = (
            [one for one in revisions if one.path in only] if only else farm_plan.chosen(revisions, asked)
        )
        sources = Sources(self._workspace.index, {one.path: one for one in roots}, self._workspace.backends)
        wanted = self._wanted(root, chosen, holdings, sources)
        every = not models and not snapshots and not any(True for _ in self._workspace.faults)
        logs = as_they_lie_now(journal.logs(self._workspace.state.runs))
        made = store.made_in(root.path, logs)
        if not wanted.models and (models or snapshots or (wanted.left and not made)):
            _refuse(program, chosen, wanted)
        return store.plan(root, wanted, made, only=None if every else wanted.asked)

    @staticmethod
    def _of_caches(holdings: Holdings, root: Root) -> list[HeldRevision]:
        """What the caches have; of a model that several have, those that allow a vault, which links may need."""
        found = [one for one in holdings.held() if holdings.is_cache(one.root) and one.root.path != root.path]
        vaults = {
            path: bool(holdings.backend(cache).vault_places(cache))
            for path, cache in {one.root.path: one.root for one in found}.items()
        }
        better = {one.name for one in found if vaults[one.root.path]}
        return [one for one in found if vaults[one.root.path] or one.name not in better]

    def _wanted(self, root: Root, chosen: Iterable[Snapshot], holdings: Holdings, sources: Sources) -> Wanted:
        backend = self._workspace.backends[root.backend]
        chooser = store.Chooser(root, backend.capabilities, sources)
        for snapshot in chosen:
            try:
                shown = backend.shown(root, snapshot, holdings.walk(root))
            except BackendFault:
                continue  # it is told by its name, and what the folder has of the model stays
            chooser.model(snapshot, shown)
        return chooser.wanted


@contextmanager
def _left_alone() -> Iterator[None]:
    """What a plugin cannot say now keeps one path from being changed, and not the run from going on."""
    try:
        yield
    except BackendFault as fault:
        raise LeftAlone(str(fault)) from fault


def farm_folder(path: str) -> str:
    """A folder for a farm, which may have to be made. Raises `HubfoldError` for what can be none."""
    if os.path.lexists(path) and not os.path.isdir(path):
        raise HubfoldError(f"{path} is no directory", "name a folder for the farm, new or existing")
    return path


def _refuse(program: str, chosen: Sequence[Snapshot], wanted: Wanted) -> None:
    """Raise `NothingToGive` where nothing can be given."""
    names = ", ".join(one.repo_id for one in chosen[:3]) + (
        f" and {len(chosen) - 3} more" if chosen[3:] else ""
    )
    if wanted.left:
        raise NothingToGive(
            f"{program} can be given nothing of {names}: {wanted.left[0].reason}", "nothing was changed"
        )
    raise NothingToGive(f"{names} has no file that {program} has a use for", "see `hubfold ls NAME --files`")


def _report(plan: StorePlan, run: str | None, failed: Sequence[Failed]) -> FarmReport:
    missing = {failure.path for failure in failed}

    def paths(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(path for name in names if (path := os.path.join(plan.root.path, name)) not in missing)

    added = [item.name for item in plan.links.add] + [item.name for item, _ in plan.links.replace]
    added += [item.name for item in plan.add] + [item.name for item, _ in plan.replace]
    return FarmReport(
        path=plan.root.path,
        run=run,
        added=paths(added),
        kept=plan.keep,
        removed=paths(
            [name for name, _ in plan.links.remove]
            + [os.path.relpath(put.path, plan.root.path) for put in plan.remove]
        ),
        left=plan.left,
        failed=tuple(failed),
    )
