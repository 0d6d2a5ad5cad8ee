"""Models moved from one place to another: copied, then linked to from where they were; and taken back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from hubfold import display
from hubfold.care.follow import Led
from hubfold.content import LinkKind, Root, Scope
from hubfold.disk import directory
from hubfold.disk.paths import canonical, existing, free_bytes
from hubfold.engine import running
from hubfold.engine.folding import Folding
from hubfold.engine.following import Following
from hubfold.engine.places import Places
from hubfold.engine.removal import Removing
from hubfold.engine.scanning import Scanning
from hubfold.engine.workspace import MIN_SIZE, NO_CONTENT, StrPath, Workspace
from hubfold.errors import HubfoldError, Interrupted, LeftAlone, NoSpace, UsageError
from hubfold.folding.followers import Around
from hubfold.folding.plan import Plan
from hubfold.journal import history, journal
from hubfold.journal.journal import Journal
from hubfold.journal.records import Moved
from hubfold.library.inventory import HeldRevision, Holdings
from hubfold.models.names import ModelName, Name
from hubfold.moving import links, originals
from hubfold.moving import plan as moves
from hubfold.moving.links import HeldAlone
from hubfold.moving.plan import MovedModel, MovePlan, Stays, Wish
from hubfold.places.places import NoPlace, Place, PlaceAway, check_there
from hubfold.removal.plan import RemovePlan
from hubfold.reports import moves as told
from hubfold.reports.moves import MoveReport
from hubfold.reports.outcomes import Failed, Left
from hubfold.reports.removals import RemoveReport
from hubfold.reports.runs import ConsolidateReport, UndoReport
from hubfold.reports.transfers import RestoreReport
from hubfold.transfer import restore
from hubfold.vault import objects


class Moving:
    """Plans moves, carries them out, and takes the copies away when they are taken back."""

    def __init__(
        self,
        workspace: Workspace,
        places: Places,
        scanning: Scanning,
        folding: Folding,
        removal: Removing,
        following: Following,
    ) -> None:
        self._workspace = workspace
        self._places = places
        self._scanning = scanning
        self._folding = folding
        self._removal = removal
        self._following = following

    # planning

    def plan(
        self,
        models: Sequence[str],
        to: StrPath,
        *,
        source: StrPath | None = None,
        min_size: int = MIN_SIZE,
        pace: int | None = None,
        whole: bool = False,
    ) -> MovePlan:
        """See `Engine.plan_move`."""
        workspace = self._workspace
        if not models and source is None:
            raise UsageError(
                "no MODEL was given", "name one, as `hubfold ls` shows it, or all of a cache by --all-of"
            )
        asked = [workspace.model_name(model) for model in models]
        target = self.target(to)
        leaves = None if source is None else self._source(source)
        if leaves is not None and leaves == target.path:
            raise UsageError(f"{leaves} is where it would move to", "name another place")
        self._scanning.scan(min_size=NO_CONTENT)
        there = [target.path] if os.path.isdir(target.path) else []
        holdings = workspace.holdings_at([*there, *([leaves] if leaves is not None else [])])
        wish = Wish(asked, leaves, list(workspace.models))
        found = [*moves.chosen(holdings, wish, target)]
        if any(held[0].root.backend != target.backend for held in found):
            raise UsageError(
                f"{target.path} is no cache of the same kind", "name one that the same client uses"
            )
        if there:
            self._look_at(target)
        for root in {held[0].root.path: held[0].root for held in found}.values():
            if workspace.index.root_at(root.path) is None:
                self._look_at(root)  # a cache that nobody added, named for this once
        going: list[MovedModel] = []
        stays: list[Left] = []
        around = self._following.around()
        for held in found:
            model = self.planned(holdings, held, target, min_size, around)
            if isinstance(model, MovedModel):
                going.append(model)
            else:
                stays.append(Left(str(held[0].name), model.reason))
        alone: list[HeldAlone] = []
        if whole:
            root = next(one for one in holdings.roots if one.path == leaves)
            alone, kept = self._following.alone(root, target, around)
            stays += kept
        return MovePlan(target, tuple(going), tuple(stays), pace, min_size, alone=tuple(alone))

    def planned(
        self, holdings: Holdings, held: Sequence[HeldRevision], target: Root, min_size: int, around: Around
    ) -> MovedModel | Stays:
        """What moving one model to `target` would do, or why it stays; `around` is what is seen of links."""
        workspace = self._workspace
        workspace.stop.check()
        try:
            model = moves.of_model(holdings, held, target, known=workspace.index.replica, stop=workspace.stop)
        except LeftAlone as error:
            return Stays(str(error))
        model = self._with_links(model, min_size, around)
        return moves.why_it_stays(model) or model

    def target(self, to: StrPath) -> Root:
        """The cache that a user names by its place or its folder. Raises `UsageError`, `PlaceAway`, `RootError`."""
        place = self._place(to)
        if place is not None:
            to = check_there(place).cache
        found = self._workspace.cache_at(to)
        if found is None or not self._workspace.backends[found.backend].capabilities.cache:
            raise UsageError(f"{os.fspath(to)} is no cache", "name the folder of a cache, or a new one")
        return found

    def _place(self, word: StrPath) -> Place | None:
        """The place that a word means; None for any other folder. Raises `NoPlace` for what can be none."""
        text = os.fspath(word)
        try:
            return self._places.place_of(text)
        except NoPlace:
            if os.sep in text or os.path.lexists(text):
                return None
            raise

    def _source(self, path: StrPath) -> str:
        place = self._place(path)
        if place is not None:
            return check_there(place).cache
        named = canonical(path)
        found = [root for root in self._workspace.discover([path]) if self._is_cache(root)]
        exact = [root.path for root in found if root.path == named]
        chosen = exact or [root.path for root in found]
        if len(chosen) != 1:
            raise UsageError(
                f"{named} is no cache" if not chosen else f"there are several caches in {named}",
                "name the folder that `hubfold roots` shows",
            )
        return chosen[0]

    def _is_cache(self, root: Root) -> bool:
        return self._workspace.backends[root.backend].capabilities.cache

    def _with_links(self, model: MovedModel, min_size: int, around: Around | None) -> MovedModel:
        """The model with the links that take the place of its files, by what the index knows now."""
        index, target = self._workspace.index, model.restore.root
        files = links.leaving(
            moves.contents_of(model), model.home, min_size, index.replica, index.payload, around=around
        )

        def found() -> Plan:
            return self._following.links(files, model.home, model.source, target)

        return moves.with_links(model, files, found)

    def preview(self, plan: MovePlan) -> MoveReport:
        """A plan in the form of a report."""
        models = [*map(self._told, plan.models), *(_told_alone(one) for one in plan.alone)]
        freed = sum(one.freed for one in models)
        kept = [Left(skip.path, skip.reason) for model in plan.models for skip in model.links.skipped]
        return MoveReport(plan.target.path, tuple(models), plan.copied, freed, (*plan.left, *kept))

    def _told(self, model: MovedModel) -> told.MovedModel:
        return told.MovedModel(
            name=str(model.name),
            source=model.source.path,
            run=None,
            revisions=tuple(one.revision for one in model.restore.models),
            bytes=model.bytes,
            copied=model.restore.missing_bytes,
            freed=model.frees,
            links=tuple(action.path for action in model.links.actions),
        )

    def check_space(self, plan: MovePlan) -> None:
        """Raise `NoSpace`, with the figures, where the copies would not fit, or be over the limit of the place."""
        self._places.check_room(plan.target.path, plan.copied)
        folder = existing(plan.target.path)
        free, reserve = free_bytes(folder) or 0, self._workspace.config.reserve
        if plan.copied + reserve > free:
            kept = f", and {display.size(reserve)} are kept in reserve" if reserve else ""
            raise NoSpace(
                f"{folder} has {display.size(free)} free, and this takes {display.size(plan.copied)}{kept}",
                "make room there, move fewer models, or name another place",
            )

    # carrying out

    def carry_out(self, plan: MovePlan) -> MoveReport:
        """See `Engine.apply_move`."""
        self.check_space(plan)
        done: list[told.MovedModel] = []
        left, failed = [*plan.left], list[Failed]()
        interrupted = False
        for model in plan.models:
            try:
                self._workspace.stop.check()
                one = self._one(plan, model, left, failed)
            except Interrupted:
                interrupted = True
                break
            if one is not None:
                done.append(one)
                interrupted = bool(self._workspace.stop)
        if plan.alone and not interrupted:
            alone, interrupted = self._alone(plan, failed)
            done += alone
        return MoveReport(
            plan.target.path,
            tuple(done),
            sum(one.copied for one in done),
            sum(one.freed for one in done),
            tuple(left),
            failed=tuple(failed),
            interrupted=interrupted,
        )

    def _one(
        self, plan: MovePlan, model: MovedModel, left: list[Left], failed: list[Failed]
    ) -> told.MovedModel | None:
        """Move one model, under a run of its own; None, and told, where it stays as it was."""
        directory.make_folders(plan.target.path)
        roots = [model.source.path, plan.target.path]
        with running.changing(self._workspace, "move", roots) as book:
            stays = moves.why_it_stays(model)
            if stays is not None:
                left.append(Left(str(model.name), stays.reason))
                book.append("end", state="finished")
                return None
            book.place(model.source.path)
            book.place(plan.target.path)
            book.append("move", **_record(model).as_record())
            book.sync()
            state = "interrupted"
            try:
                copied = self._copy(plan, model, book)
                state = "finished"
            finally:
                if state != "finished":
                    book.append("end", state=state)
            left += copied.left
            failed += copied.failed
            if len(copied.models) < len(model.restore.models):
                failed.append(
                    Failed(str(model.name), "it could not be copied as a whole, and stays where it was")
                )
                book.append("end", state="finished")
                return None
            self._scanning.remember(plan.target)
            self._look_at(plan.target)
            led, folded = self._fold(plan, model, book)
        left += folded.skipped
        failed += (*led.failed, *folded.failed)
        if not folded.actions:
            return None  # its copy is whole, and the same move goes on with it
        return told.MovedModel(
            name=str(model.name),
            source=model.source.path,
            run=book.run,
            revisions=tuple(one.revision for one in model.restore.models),
            bytes=model.bytes,
            copied=copied.written,
            freed=folded.reclaimed_bytes
            if any(one.link == LinkKind.SYMLINK for one in folded.actions)
            else 0,
            links=tuple(sorted((*led.links, *(action.path for action in folded.actions)))),
        )

    def _alone(self, plan: MovePlan, failed: list[Failed]) -> tuple[list[told.MovedModel], bool]:
        """Lead the links to what only a vault has to copies, all under one run; (what was done, was it interrupted)."""
        done: list[told.MovedModel] = []
        led = Led()
        state = "interrupted"
        try:
            self._places.there(plan.target.path)
        except PlaceAway as error:
            failed.append(Failed(plan.target.path, str(error)))
            return [], False
        directory.make_folders(plan.target.path)
        self._scanning.remember(plan.target)
        with running.changing(self._workspace, "move") as book:
            try:
                for one in plan.alone:
                    self._workspace.stop.check()
                    before = _told_alone(one)
                    led = self._following.lead_alone(book, one)
                    failed += led.failed
                    if led.released:
                        done.append(replace(before, run=book.run))
                state = "finished"
            except Interrupted:
                pass
            finally:
                if not led.unsettled:
                    book.append("end", state=state, freed=sum(one.freed for one in done))
        return done, state == "interrupted"

    def _fold(self, plan: MovePlan, model: MovedModel, book: Journal) -> tuple[Led, ConsolidateReport]:
        """Lead the links that read a model through a vault to its copy, then put links in place of its files."""
        planned = self._with_links(model, plan.min_size, self._following.around())
        state = "interrupted"
        led = Led()
        try:
            led = self._following.lead(book, planned)
            if led.links or led.released:
                planned = self._with_links(model, plan.min_size, None)
            folded = self._folding.fold_in(links.apart(planned.files, planned.links)[0], book)
            state = "interrupted" if folded.interrupted else "finished"
        finally:
            if not (led.unsettled or journal.read(self._workspace.state.runs, book.run).open_numbers):
                book.append("end", state=state)
                book.sync()
        return led, folded

    def _copy(self, plan: MovePlan, model: MovedModel, book: Journal) -> RestoreReport:
        workspace = self._workspace
        reader = originals.Originals(model.paths, originals.Pace(plan.pace, workspace.stop))
        restorer = restore.Restorer(
            book,
            workspace.backends[plan.target.backend],
            model.restore,
            workspace.progress,
            workspace.stop,
            task=f"copying {model.name}",
            damaged=originals.DAMAGED,
        )
        return restorer.restore(reader)

    def _look_at(self, target: Root) -> None:
        self._scanning.scan(
            [target.path], backend=target.backend, min_size=NO_CONTENT, scope=Scope(only=True)
        )

    # taking back

    def run_of(self, model: str) -> str:
        """The last run that moved a model and stands. Raises `HubfoldError` where there is none."""
        asked = self._workspace.model_name(model)
        for log in reversed(list(journal.logs(self._workspace.state.runs))):
            if history.undoable(log) and any(asked.means(one.repo_type, one.repo_id) for one in log.moved):
                return log.run
        raise HubfoldError(
            f"no move of {model} is there to take back", "`hubfold move MODEL --to PLACE` moves it anywhere"
        )

    def preview_taking_back(self, report: UndoReport) -> UndoReport:
        """What taking a run back would do, with the copy of a model that goes with it."""
        planned = None if report.failed or report.left else self._copies(report)
        if planned is None:
            return self._following.let_go(report, act=False)
        gone = self._removal.preview_removal(replace(planned, objects=self._let_go(report)))
        return _with(report, gone)

    def _let_go(self, report: UndoReport) -> tuple[str, ...]:
        """The vault objects that only the links need which are taken back."""
        log = journal.read(self._workspace.state.runs, report.run)
        back = {one.path: one.target for one in log.intents.values() if one.link is LinkKind.SYMLINK}
        back |= {one.path: one.target for one in log.repointed}
        found = dict.fromkeys(back[path] for path in report.restored if path in back)
        return tuple(
            target
            for target in found
            if all(one.link in report.restored for one in objects.read_links(target))
        )

    def taken_back(self, report: UndoReport) -> UndoReport:
        """What became of a run that was taken back, once the copy that it made of a model is gone too.

        The copy stays where something of the run could not be taken back, where the model is not whole without it, and
        where it has by now what the model has not.
        """
        if report.failed or report.left or report.interrupted:
            return report
        planned = self._copies(report)
        if planned is None:
            return self._following.let_go(report)
        return _with(report, self._removal.apply_removal(planned))

    def _copies(self, report: UndoReport) -> RemovePlan | None:
        """The removal of what a run made in the place that it moved a model to; None where there is nothing."""
        log = journal.read(self._workspace.state.runs, report.run)
        for moved in log.moved:
            asked = list(self._asked(moved))
            if asked and os.path.isdir(moved.target):
                with suppress(HubfoldError):
                    return self._removal.plan_mirrored(asked, moved.target, moved.source)[0]
        return None

    def _asked(self, moved: Moved) -> Iterator[ModelName]:
        """The revisions that moves have made in the target, and that are whole where they came from."""
        made = self._made(moved)
        there = {
            one.snapshot.revision
            for one in self._workspace.holdings_at([moved.source, moved.target]).by_name.get(
                Name(moved.repo_type, moved.repo_id), ()
            )
            if one.root.path == moved.source and not one.snapshot.broken
        }
        for revision in sorted(made & there):
            yield ModelName(moved.repo_id, moved.repo_id, moved.repo_type, revision)

    def _made(self, moved: Moved) -> set[str]:
        """Revisions of a model that moves made in the target, one that was cut short and gone on with among them."""
        return {
            revision
            for log in journal.logs(self._workspace.state.runs)
            for one in log.moved
            if (one.target, one.repo_type, one.repo_id) == (moved.target, moved.repo_type, moved.repo_id)
            for revision in one.made
        }


def _with(report: UndoReport, gone: RemoveReport) -> UndoReport:
    """The report with what is removed of the copy."""
    return replace(
        report,
        removed=(*report.removed, *gone.removed, *gone.vault_files),
        folders=(*report.folders, *gone.folders),
        failed=(*report.failed, *gone.failed),
    )


def _told_alone(one: HeldAlone) -> told.MovedModel:
    """What only a vault has as a row of its own: it is of no model."""
    return told.MovedModel(
        name=one.file.objects[0],
        source=one.vault,
        run=None,
        revisions=(),
        bytes=one.size,
        copied=one.copied,
        freed=one.frees,
        links=tuple(action.path for action in one.links.actions),
    )


def _record(model: MovedModel) -> Moved:
    return Moved(
        source=model.source.path,
        target=model.restore.root.path,
        backend=model.source.backend,
        repo_type=model.name.repo_type,
        repo_id=model.name.repo_id,
        home=model.home,
        made=model.made,
    )
