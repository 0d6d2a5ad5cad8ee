"""Duplicates folded under the journal and taken back, and the vault kept free of what no link needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from hubfold.care import recovery, repoint
from hubfold.content import DuplicateSet, IndexedReplica, LinkKind, Root
from hubfold.engine.memory import Memory
from hubfold.engine.workspace import MIN_SIZE, StrPath, Workspace
from hubfold.errors import HubfoldError, Interrupted
from hubfold.farm import settle as farm_settle
from hubfold.folding import planner, survey, undo
from hubfold.folding.executor import Executor, Outcome
from hubfold.folding.plan import Action, Plan, Skip
from hubfold.journal import history, journal, keepers, lock
from hubfold.journal.records import Intent
from hubfold.journal.run_log import RunLog
from hubfold.reports.health import VerifyReport
from hubfold.reports.outcomes import Failed, Left
from hubfold.reports.runs import ConsolidateReport, Done, GcReport, RecoverReport, UndoReport
from hubfold.vault import gc, objects

#: Reads files again, and tells which are not what they say.
ReadAgain = Callable[[Iterable[IndexedReplica]], VerifyReport]


class Folding:
    """Plans and applies, undoes and recovers."""

    def __init__(
        self,
        workspace: Workspace,
        memory: Memory,
        read_again: ReadAgain,
    ) -> None:
        self._workspace = workspace
        self._memory = memory
        self._read_again = read_again

    def plan(
        self,
        paths: Sequence[StrPath] = (),
        *,
        link: LinkKind | None = None,
        min_size: int = MIN_SIZE,
        into: StrPath | None = None,
        across_owners: bool = False,
    ) -> Plan:
        """See `Engine.plan`."""
        roots = self._workspace.roots_of([*paths, into] if paths and into is not None else paths)
        sets = list(self._memory.duplicate_sets(list(roots), min_size))
        around = survey.survey(sets, roots, self._workspace.backends)
        chosen = None
        if into is not None:
            chosen = next(iter(self._workspace.roots_of([into])), None)
            if chosen is None:
                raise HubfoldError(
                    f"{os.fspath(into)} is no scanned root", f"run `hubfold scan {os.fspath(into)}`"
                )
        sets, unseen = _to_be_seen(sets, around.filesystems)
        found = planner.plan(sets, planner.Policy(link, chosen, across_owners), around)
        away = self._workspace.roots_away(paths)
        unseen += [Skip(root.path, "it is not there now: what is known of it is left out") for root in away]
        found = replace(found, skipped=(*found.skipped, *unseen))
        corrupt = [Skip(liar.path, planner.LIES) for liar in self._workspace.index.liars(list(roots))]
        return replace(
            found, skipped=(*found.skipped, *(skip for skip in corrupt if skip not in found.skipped))
        )

    def preview(self, plan: Plan) -> ConsolidateReport:
        """A plan in the form of a report, with no run."""
        return ConsolidateReport(
            None,
            tuple(_done(action) for action in plan.actions),
            tuple(Left(skip.path, skip.reason) for skip in plan.skipped),
            (),
            plan.bytes,
            plan.notes,
        )

    def apply(self, plan: Plan) -> ConsolidateReport:
        """See `Engine.apply`."""
        with recovery.alone(self._workspace.state, "consolidate"):
            interrupted = False
            with recovery.begin(self._workspace.state, "consolidate") as book:
                executor = Executor(
                    book,
                    locks=self._lock_paths,
                    readers=self._workspace.threads,
                    progress=self._workspace.progress,
                    stop=self._workspace.stop,
                )
                try:
                    executor.apply(plan)
                except Interrupted:
                    interrupted = True
                book.sync()
                log = journal.read(self._workspace.state.runs, book.run)
                keepers.restore_keepers(log, ())
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

    def _lock_paths(self, action: Action) -> Sequence[str]:
        backend = self._workspace.backends[action.victim.backend]
        return backend.lock_paths(Root(action.victim.root, action.victim.backend), action.path)

    def _note_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Bring the index up to date with what we did ourselves: our links and renames moved ctimes.

        What was computed goes on to hold for a path whose bytes were compared just now.
        """
        index = self._workspace.index
        with index.batch():
            for outcome in outcomes:
                for path in (outcome.action.keeper.path, outcome.action.path):
                    self._workspace.note_path(index, path, proven=not outcome.error)

    def _which_lies(self, outcome: Outcome) -> str:
        """Two files with equal digests turned out to differ: read both and say which is not what it says."""
        if not outcome.differs:
            return ""
        paths = [outcome.action.keeper.path, outcome.action.path]
        replicas = [replica for path in paths if (replica := self._workspace.index.replica(path)) is not None]
        problems = self._read_again(replicas).problems
        return "".join(f"; {problem.kind}: {problem.path}: {problem.message}" for problem in problems)

    def preview_undo(self, run: str | None = None) -> UndoReport:
        """What taking `run` (default: the last one) back would do. Raises `RunNotFound`, `NoSpace`."""
        log, logs = history.find(self._workspace.state, run)
        expected = undo.preview(
            log, history.folded_again(logs, log), history.keeper_changes(logs), self._sources()
        )
        links = [link.path for link in log.farm_links] + [link.path for link in log.repointed]
        return UndoReport(
            log.run,
            (*expected.restored, *(() if log.undone else links)),
            (*expected.left, *expected.waiting),
            tuple(expected.failed),
            expected.bytes_needed,
            kept=tuple(expected.kept),
            waiting=tuple(expected.waiting),
        )

    def _sources(self) -> undo.Sources:
        """Where the content of a link may lie: where it was made to lead, and where its vault is now."""
        moved = self._workspace.moved()

        def of(log: RunLog, intent: Intent) -> Sequence[str]:
            now = moved.object_of(intent.target, intent.path, log.run, log.places)
            return (intent.target, intent.keeper, *(() if now is None else (now,)))

        return of

    def undo(self, run: str | None = None) -> UndoReport:
        """Take `run` (default: the last one) back. Raises `RunNotFound`, `NoSpace` and `Locked` before any change."""
        with recovery.alone(self._workspace.state, "undo"):
            log, logs = history.find(self._workspace.state, run)
            used = history.keepers_in_use(logs, but=log.run)
            undone = undo.Undone()
            interrupted = False
            with journal.Journal.reopen(log) as book:
                removed, left, failed = farm_settle.take_back(log)
                if log.repointed:
                    # So that recovery looks for what a crash leaves of it.
                    book.append("undo")
                    book.sync()
                pointed = repoint.take_back(log)
                try:
                    undone = undo.take_back(
                        log,
                        book,
                        used_elsewhere=used,
                        changes=history.keeper_changes(logs),
                        refolded=history.folded_again(logs, log),
                        rest_failed=bool(failed or pointed[2] or pointed[3]),
                        sources=self._sources(),
                        roots_now=self._workspace.moved().roots_now(log.places),
                        progress=self._workspace.progress,
                        stop=self._workspace.stop,
                    )
                except Interrupted:
                    interrupted = True
        return UndoReport(
            log.run,
            (*removed, *pointed[0], *undone.restored),
            (*left, *pointed[1], *undone.left, *pointed[3], *undone.waiting),
            (*failed, *pointed[2], *undone.failed),
            undone.bytes_needed,
            interrupted,
            tuple(undone.kept),
            (*pointed[3], *undone.waiting),
        )

    def recover(self, *, forget: bool = False) -> RecoverReport:
        """See `Engine.recover`."""
        if not recovery.unsettled(self._workspace.state):
            return RecoverReport()
        with lock.exclusive(self._workspace.state, "recover"):
            return recovery.recover(self._workspace.state, forget=forget)

    def preview_gc(self, *, forget_machine: str | None = None) -> GcReport:
        """See `Engine.preview_gc`."""
        vaults = self._workspace.vaults()
        garbage, kept = self._garbage(vaults, forget_machine)
        forgotten = gc.noted_by(vaults, forget_machine) if forget_machine else []
        return GcReport(
            tuple(item.path for item in garbage),
            sum(item.bytes for item in garbage),
            tuple(kept),
            last_copies=tuple(item.path for item in garbage if item.last),
            forgotten=tuple(dict.fromkeys(line.link for _, lines in forgotten for line in lines)),
        )

    def _garbage(
        self, vaults: Sequence[str], forget: str | None = None
    ) -> tuple[list[gc.Garbage], list[Left]]:
        roots = [root.path for root in self._workspace.index.roots()]
        links = self._workspace.links_made()
        return gc.find_garbage(vaults, roots, links, here=self._workspace.here(), forget=forget)

    def gc(self, *, forget_machine: str | None = None) -> GcReport:
        """See `Engine.gc`."""
        with recovery.alone(self._workspace.state, "gc"):
            vaults = self._workspace.vaults()
            lines = gc.noted_by(vaults, forget_machine) if forget_machine else []
            failed = gc.forget_machine(vaults, forget_machine) if forget_machine else []
            report = gc.remove(*self._garbage(vaults), here=self._workspace.here())
            for path in vaults:
                objects.clear_empty(path)
            for path in report.removed:
                self._workspace.index.forget(path)
        forgotten = dict.fromkeys(line.link for _, noted in lines for line in noted)
        return replace(report, failed=(*failed, *report.failed), forgotten=tuple(forgotten))


def _to_be_seen(
    sets: Iterable[DuplicateSet], folders: Collection[str]
) -> tuple[list[DuplicateSet], list[Skip]]:
    """(the sets without the replicas whose folders cannot be looked at, those replicas)."""
    found: list[DuplicateSet] = []
    unseen: list[Skip] = []
    for duplicates in sets:
        there = [
            one
            for one in duplicates.replicas
            if os.path.dirname(one.path) in folders and os.path.lexists(one.path)
        ]
        unseen += [
            Skip(one.path, "it cannot be looked at now (is its drive, or its folder, away?)")
            for one in duplicates.replicas
            if one not in there
        ]
        if len({one.payload for one in there}) > 1:
            found.append(replace(duplicates, replicas=tuple(there)))
    return found, unseen


def _done(action: Action) -> Done:
    return Done(action.path, action.keeper.path, action.target, str(action.link), action.reason, action.bytes)


def _freed(outcomes: Sequence[Outcome]) -> int:
    """What the file systems got back: a payload's blocks only where all its names were replaced."""
    stuck = {outcome.action.victim.payload for outcome in outcomes if outcome.error}
    return sum(o.action.bytes for o in outcomes if not o.error and o.action.victim.payload not in stuck)
