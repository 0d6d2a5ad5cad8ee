"""What `Engine` does to fold duplicates and to take that back: plan and apply, undo, recover, gc."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hubfold.content import LinkKind, Root
from hubfold.engine.scanning import MIN_SIZE, Finding
from hubfold.engine.workspace import StrPath
from hubfold.errors import HubfoldError, Interrupted

if TYPE_CHECKING:
    from hubfold.folding.executor import Outcome
    from hubfold.folding.plan import Action, Plan
    from hubfold.reports.runs import (
        ConsolidateReport,
        Done,
        GcReport,
        RecoverReport,
        RunDetail,
        RunSummary,
        UndoReport,
    )


class Folding(Finding):
    """The part of `Engine` that works under the journal on duplicates and on the vault."""

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
        from hubfold.folding import planner, survey
        from hubfold.folding.plan import Skip

        known = self._roots_of([*paths, into] if paths and into is not None else paths)
        roots = {path: root for path, root in known.items() if path not in self.left_out}
        sets = list(self._duplicate_sets(list(roots), min_size))
        around = survey.survey(sets, roots, self._backends)
        chosen = None
        if into is not None:
            chosen = next(iter(self._roots_of([into])), None)
            if chosen is None:
                raise HubfoldError(
                    f"{os.fspath(into)} is no scanned root", f"run `hubfold scan {os.fspath(into)}`"
                )
            if chosen.path not in roots:
                raise HubfoldError(f"{chosen.path} is left out: its plugin failed", "`hubfold scan` says how")
        sets = [s for s in sets if all(os.path.dirname(r.path) in around.filesystems for r in s.replicas)]
        found = planner.plan(sets, planner.Policy(link, chosen, across_owners), around)
        corrupt = [Skip(liar.path, planner.LIES) for liar in self._open_index.liars(list(roots))]
        return replace(
            found, skipped=(*found.skipped, *(skip for skip in corrupt if skip not in found.skipped))
        )

    def preview(self, plan: Plan) -> ConsolidateReport:
        """A plan in the form of a report, with no run."""
        from hubfold.reports.outcomes import Left
        from hubfold.reports.runs import ConsolidateReport

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
        from hubfold.care import recovery
        from hubfold.folding.executor import Executor
        from hubfold.journal import journal, keepers, lock
        from hubfold.reports.outcomes import Failed, Left
        from hubfold.reports.runs import ConsolidateReport

        with lock.exclusive(self.state, "consolidate"):
            recovery.recover(self.state)
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
        backend = self._backends[action.victim.backend]
        return backend.lock_paths(Root(action.victim.root, action.victim.backend), action.path)

    def _note_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Bring the index up to date with what we did ourselves: our links and renames moved ctimes.

        What was computed goes on to hold for a path whose bytes were compared just now.
        """
        index = self._open_index
        with index.batch():
            for outcome in outcomes:
                for path in (outcome.action.keeper.path, outcome.action.path):
                    self._note_path(index, path, proven=not outcome.error)

    def _which_lies(self, outcome: Outcome) -> str:
        """Two files with equal digests turned out to differ: read both and say which is not what it says."""
        if not outcome.differs:
            return ""
        paths = [outcome.action.keeper.path, outcome.action.path]
        replicas = [replica for path in paths if (replica := self._open_index.replica(path)) is not None]
        problems = self._verify(replicas).problems
        return "".join(f"; {problem.kind}: {problem.path}: {problem.message}" for problem in problems)

    def runs(self) -> list[RunSummary]:
        """Past runs, newest first. Raises `JournalDamaged`."""
        from hubfold.journal import history, journal

        return [history.summary(log) for log in reversed(list(journal.logs(self.state.runs)))]

    def run(self, run: str) -> RunDetail:
        """One run action by action. Raises `RunNotFound`, `JournalDamaged`."""
        from hubfold.journal import history, journal

        return history.detail(journal.read(self.state.runs, run))

    def preview_undo(self, run: str | None = None) -> UndoReport:
        """What taking `run` (default: the last one) back would do. Raises `RunNotFound`, `NoSpace`."""
        from hubfold.folding import undo
        from hubfold.journal import history
        from hubfold.reports.runs import UndoReport

        log, logs = history.find(self.state, run)
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
        from hubfold.care import recovery
        from hubfold.farm import settle
        from hubfold.folding import undo
        from hubfold.journal import history, journal, lock
        from hubfold.reports.runs import UndoReport

        with lock.exclusive(self.state, "undo"):
            recovery.recover(self.state)
            log, logs = history.find(self.state, run)
            used = history.keepers_in_use(logs, but=log.run)
            undone = undo.Undone()
            interrupted = False
            with journal.Journal.reopen(log) as book:
                removed, left, failed = settle.take_back(log)
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
        from hubfold.care import recovery
        from hubfold.journal import lock
        from hubfold.reports.runs import RecoverReport

        if not recovery.unsettled(self.state):
            return RecoverReport()
        with lock.exclusive(self.state, "recover"):
            return recovery.recover(self.state, forget=forget)

    def preview_gc(self) -> GcReport:
        """The vault objects that no link needs, with what removing them frees."""
        from hubfold.reports.runs import GcReport
        from hubfold.vault import gc

        garbage, kept = gc.find_garbage(
            self._vaults(), [root.path for root in self._open_index.roots()], self._links_made()
        )
        return GcReport(
            tuple(item.path for item in garbage), sum(item.bytes for item in garbage), tuple(kept)
        )

    def gc(self) -> GcReport:
        """Remove the vault objects that no link needs, and vaults that are empty."""
        from hubfold.care import recovery
        from hubfold.journal import lock
        from hubfold.vault import gc, objects

        with lock.exclusive(self.state, "gc"):
            recovery.recover(self.state)
            vaults = self._vaults()
            roots = [root.path for root in self._open_index.roots()]
            report = gc.remove(*gc.find_garbage(vaults, roots, self._links_made()))
            for path in vaults:
                objects.clear_empty(path)
            for path in report.removed:
                self._open_index.forget(path)
        return report


def _done(action: Action) -> Done:
    from hubfold.reports.runs import Done

    return Done(action.path, action.keeper.path, action.target, str(action.link), action.reason, action.bytes)


def _freed(outcomes: Sequence[Outcome]) -> int:
    """What the file systems got back: a payload's blocks only where all its names were replaced."""
    stuck = {outcome.action.victim.payload for outcome in outcomes if outcome.error}
    return sum(o.action.bytes for o in outcomes if not o.error and o.action.victim.payload not in stuck)
