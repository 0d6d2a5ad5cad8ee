"""Duplicates folded under the journal and taken back, and the vault kept free of what no link needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from hubfold.adoption import undo as adoption_undo
from hubfold.care import recovery, repoint
from hubfold.content import IndexedReplica, Root, Signature
from hubfold.disk.paths import gone
from hubfold.engine import running
from hubfold.engine.workspace import Workspace
from hubfold.errors import Interrupted
from hubfold.farm import settle as farm_settle
from hubfold.faults import BackendFault
from hubfold.folding import undo
from hubfold.folding.executor import Executor
from hubfold.folding.outcomes import Outcome
from hubfold.folding.plan import Action, Plan
from hubfold.folding.told import done
from hubfold.folding.vetoes import without_vetoed
from hubfold.index.housekeeping import totals
from hubfold.journal import history, journal, keepers, lock
from hubfold.journal.others import Others
from hubfold.journal.records import Intent
from hubfold.journal.run_log import RunLog
from hubfold.reports.health import VerifyReport
from hubfold.reports.outcomes import Failed, Left
from hubfold.reports.runs import ConsolidateReport, GcReport, RecoverReport, UndoReport
from hubfold.vault import gc, objects

#: Reads files again, and tells which are not what they say.
ReadAgain = Callable[[Iterable[IndexedReplica]], VerifyReport]
#: Leads the links of a move back to what they read before, under the journal of the run.
LeadBack = Callable[[RunLog, journal.Journal], repoint.PutBack]


class Folding:
    """Applies plans, undoes and recovers."""

    def __init__(self, workspace: Workspace, read_again: ReadAgain, lead_back: LeadBack) -> None:
        self._workspace = workspace
        self._read_again = read_again
        self._lead_back = lead_back

    def apply(self, plan: Plan) -> ConsolidateReport:
        """See `Engine.apply`."""
        # A plan may be old by now, or was read from a file.
        plan = without_vetoed(plan, self._workspace.policies)
        roots = {one.root for action in plan.actions for one in (action.victim, action.keeper)}
        folders = {one.folder for action in plan.actions for one in (action.victim, action.keeper)}
        with running.changing(self._workspace, "consolidate", roots, folders) as book:
            return self.apply_in(book, plan)

    def apply_in(self, book: journal.Journal, plan: Plan) -> ConsolidateReport:
        """`apply` under the journal of a run that was begun, which ends with it."""
        executor, interrupted = self._execute(plan, book)
        if not journal.read(self._workspace.state.runs, book.run).open_numbers:
            book.append("end", state="interrupted" if interrupted else "finished")
            book.sync()
        return self._report(plan, book.run, executor.outcomes, interrupted=interrupted)

    def fold_in(self, plan: Plan, book: journal.Journal) -> ConsolidateReport:
        """`apply` as a part of another run, whose journal is `book`: whoever began that says how it ends."""
        executor, interrupted = self._execute(plan, book)
        return self._report(plan, book.run, executor.outcomes, interrupted=interrupted)

    def _execute(self, plan: Plan, book: journal.Journal) -> tuple[Executor, bool]:
        interrupted = False
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
        keepers.restore_keepers(journal.read(self._workspace.state.runs, book.run))
        return executor, interrupted

    def _report(
        self, plan: Plan, run: str, outcomes: Sequence[Outcome], *, interrupted: bool
    ) -> ConsolidateReport:
        self._note_outcomes(outcomes)
        wrong = [one for one in outcomes if one.error and not one.one_file]
        failed = [Failed(one.action.path, one.error + self._which_lies(one)) for one in wrong]
        return ConsolidateReport(
            run=run,
            actions=tuple(done(outcome.action) for outcome in outcomes if not outcome.error),
            skipped=(
                *(Left(skip.path, skip.reason) for skip in plan.skipped),
                *(Left(one.action.path, one.error) for one in outcomes if one.one_file),
            ),
            failed=tuple(failed),
            reclaimed_bytes=_freed(outcomes),
            notes=plan.notes,
            interrupted=interrupted,
        )

    def _lock_paths(self, action: Action) -> Sequence[str]:
        return self._workspace.lock_paths(Root(action.victim.root, action.victim.backend), action.path)

    def _note_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Bring the index up to date with what we did ourselves: our links and renames moved ctimes.

        What was computed goes on to hold for a path whose bytes were compared just now.
        """
        index = self._workspace.index
        with index.batch():
            for outcome in outcomes:
                for path in (outcome.action.keeper.path, outcome.action.path):
                    self._workspace.note_path(index, path, proven=not outcome.error or outcome.one_file)
            changed = {one.action.victim.root for one in outcomes} | {
                one.action.keeper.root for one in outcomes
            }
            for root in index.roots():
                if root.path in changed:
                    totals(index, root)

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
        others = self._others(logs, log)
        expected = undo.preview(log, others)
        puts = adoption_undo.preview(log, others) if not log.undone else adoption_undo.TakenBack()
        farm = farm_settle.preview(log) if not log.undone else farm_settle.TakenBack()
        pointed = repoint.preview(log) if not log.undone else repoint.PutBack()
        return UndoReport(
            run=log.run,
            restored=(*expected.restored, *farm.restored, *pointed.restored, *puts.restored, *puts.removed),
            left=(
                *farm.left,
                *pointed.left,
                *expected.left,
                *puts.left,
                *pointed.waiting,
                *expected.waiting,
                *puts.waiting,
            ),
            failed=(*farm.failed, *pointed.failed, *expected.failed, *puts.failed),
            bytes_needed=expected.bytes_needed,
            kept=tuple(expected.kept),
            waiting=(*pointed.waiting, *expected.waiting, *puts.waiting),
            removed=(*farm.removed, *puts.removed),
            folders=(*farm.folders, *puts.folders),
            open=history.undoable(log),
        )

    def _others(self, logs: Sequence[RunLog], log: RunLog) -> Others:
        """What the other runs mean for `log`, and where its vaults and roots are that moved."""
        moved = self._workspace.moved()

        def object_now(intent: Intent) -> str | None:
            return moved.object_of(intent.target, intent.path, log.run, log.places)

        return replace(Others.of(logs, log), object_now=object_now, roots_now=moved.roots_now(log.places))

    def undo(self, run: str | None = None) -> UndoReport:
        """Take `run` (default: the last one) back. Raises `RunNotFound`, `NoSpace` and `Locked` before any change."""
        with running.alone(self._workspace, "undo") as runs:
            log, logs = history.find(self._workspace.state, run)
            roots, folders = log.changes_at
            undone = undo.Undone()
            interrupted = False
            with (
                running.on_shares(self._workspace, "undo", roots, folders),
                journal.Journal.reopen(log) as book,
            ):
                runs.append(log.run)
                farm = farm_settle.take_links_back(log, book)
                if log.repointed or log.renews:
                    # So that recovery looks for what a crash leaves of it.
                    book.append("undo")
                    book.sync()
                pointed = repoint.PutBack() if log.leads else repoint.take_back(log)
                puts = adoption_undo.TakenBack()
                others = self._others(logs, log)
                try:
                    undone = undo.take_back(
                        log,
                        book,
                        others,
                        rest_failed=bool(
                            farm.failed or pointed.failed or pointed.waiting or log.puts or log.leads
                        ),
                        progress=self._workspace.progress,
                        stop=self._workspace.stop,
                    )
                    if log.leads:
                        # What they read before has to be there again.
                        pointed = self._lead_back(log, book)
                    if log.puts:
                        needed = self._needed_there if log.command == "farm" else self._needed
                        puts = adoption_undo.take_back(log, book, others, needed, self._locks_at)
                    if log.puts or log.leads:
                        undone.failed += keepers.restore_keepers(log, others)
                        rest = (undone.failed, undone.waiting, puts.failed, puts.waiting, pointed.waiting)
                        if not any((*rest, farm.failed, pointed.failed)):
                            book.append("undone")
                            book.sync()
                except Interrupted:
                    interrupted = True
        for path in puts.removed:
            self._workspace.index.forget(path)
        return UndoReport(
            run=log.run,
            restored=(*farm.restored, *pointed.restored, *undone.restored, *puts.restored, *puts.removed),
            left=(
                *farm.left,
                *pointed.left,
                *undone.left,
                *puts.left,
                *pointed.waiting,
                *undone.waiting,
                *puts.waiting,
            ),
            failed=(*farm.failed, *pointed.failed, *undone.failed, *puts.failed),
            bytes_needed=undone.bytes_needed,
            interrupted=interrupted,
            kept=tuple(undone.kept),
            waiting=(*pointed.waiting, *undone.waiting, *puts.waiting),
            removed=(*farm.removed, *puts.removed),
            folders=(*farm.folders, *puts.folders),
        )

    def _needed(self, root: str, backend: str, paths: Collection[str]) -> Collection[str]:
        """Those of `paths` that something in their root needs; all of them where nobody can tell."""
        if backend not in self._workspace.backends:
            return paths
        found = Root(root, backend)
        walk = self._workspace.holdings([found]).walk(found)
        try:
            return self._workspace.backends[backend].still_needed(found, paths, walk)
        except BackendFault:
            return paths

    def _needed_there(self, root: str, backend: str, paths: Collection[str]) -> Collection[str]:
        """As `_needed`, of what the folder of a program was given: a name there that nobody asks about is ours."""
        known = self._workspace.backends.get(backend)
        return () if known is not None and not known.tells_need else self._needed(root, backend, paths)

    def _locks_at(self, root: str, backend: str, path: str) -> Sequence[str]:
        return self._workspace.lock_paths(Root(root, backend), path)

    def note_restored(self, report: UndoReport) -> None:
        """Keep what undo knows of the content that it put back, after a scan that read none: its copies were hashed.

        The kept files have another ctime since their links are gone; it is the bytes of these that were copied.
        """
        index, back = self._workspace.index, set(report.restored)
        log, _ = history.find(self._workspace.state, report.run)
        known: dict[Signature, dict[str, str]] = {}
        for intent in log.intents.values() if report.restored else ():
            for path in (intent.path, intent.keeper) if intent.path in back else ():
                with suppress(OSError):
                    st = os.lstat(path)
                    if path == intent.path or st.st_ino == intent.keeper_inode:
                        known[Signature.of(st)] = {"xxh3_128": intent.xxh3_128}
        index.record_all(known.items())

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
        files, folders = gc.goes_with(vaults, [item.path for item in garbage])
        return GcReport(
            tuple(item.path for item in garbage),
            sum(item.bytes for item in garbage),
            tuple(kept),
            last_copies=tuple(item.path for item in garbage if item.last),
            forgotten=tuple(dict.fromkeys(line.link for _, lines in forgotten for line in lines)),
            folders=folders,
            vault_files=files,
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
            garbage, kept = self._garbage(vaults)
            own = gc.goes_with(vaults, [item.path for item in garbage])
            report = gc.remove(garbage, kept, here=self._workspace.here())
            for path in vaults:
                objects.clear_empty(path)
            for path in report.removed:
                self._workspace.index.forget(path)
        forgotten = dict.fromkeys(line.link for _, noted in lines for line in noted)
        files, folders = map(gone, own)
        return replace(
            report,
            failed=(*failed, *report.failed),
            forgotten=tuple(forgotten),
            folders=folders,
            vault_files=files,
        )


def _freed(outcomes: Sequence[Outcome]) -> int:
    """What the file systems got back: a payload's blocks only where all its names were replaced."""
    stuck = {outcome.action.victim.payload for outcome in outcomes if outcome.error}
    return sum(o.action.bytes for o in outcomes if not o.error and o.action.victim.payload not in stuck)
