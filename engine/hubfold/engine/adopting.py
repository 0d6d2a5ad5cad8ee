"""Folders of models made proper ones of a cache, and that taken back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from hubfold.adoption import origin, renewing, sources
from hubfold.adoption import plan as adoption
from hubfold.adoption.origin import Asked, Known, Listed
from hubfold.adoption.plan import AdoptPlan, TakePlan
from hubfold.adoption.taking import CHANGED, Taker
from hubfold.backend.changes import Offer
from hubfold.content import Root, Scope
from hubfold.disk import directory
from hubfold.disk.paths import canonical, within
from hubfold.engine import running
from hubfold.engine.folding import Folding
from hubfold.engine.places import Places
from hubfold.engine.planning import Planning
from hubfold.engine.scanning import Scanning
from hubfold.engine.workspace import MIN_SIZE, StrPath, Workspace
from hubfold.errors import HubfoldError, HubRefused, Interrupted, RootError, UsageError
from hubfold.journal import journal, keepers
from hubfold.journal.journal import Journal
from hubfold.library.inventory import HeldRevision, Holdings
from hubfold.models.names import Name
from hubfold.models.patterns import ALL
from hubfold.reports.outcomes import Failed, Left
from hubfold.reports.transfers import AdoptReport, RestoreReport
from hubfold.scanning.discover import fallback
from hubfold.transfer import backup
from hubfold.transfer.restore import Restorer


class Adopting:
    """Plans and adopts."""

    def __init__(
        self,
        workspace: Workspace,
        scanning: Scanning,
        planning: Planning,
        folding: Folding,
        *,
        places: Places,
    ) -> None:
        self._workspace = workspace
        self._scanning = scanning
        self._planning = planning
        self._folding = folding
        self._places = places

    def plan(
        self,
        folder: StrPath,
        repo: str | None = None,
        revision: str | None = None,
        *,
        into: StrPath | None = None,
    ) -> AdoptPlan:
        """See `Engine.plan_adopt`."""
        root = self._folder(folder)
        cache = self._workspace.download_cache(into)
        self._places.there(cache.path)
        if within(root.path, cache.path) or within(cache.path, root.path):
            raise UsageError(
                f"{root.path} and the cache {cache.path} lie in each other", "name a folder of one model"
            )
        holdings = self._workspace.holdings([*self._workspace.discover(), cache, root])
        asked = _asked(self._workspace, repo, revision)
        offer = self._offer(holdings, root, asked)
        found = sources.Reader(
            self._workspace.index.digests_of,
            self._workspace.index.record_digests,
            self._workspace.progress,
            self._workspace.stop,
        ).read([file.path for file in offer.files])
        judged, edited = sources.judged(offer, found)
        known = Known(self._of_caches(holdings), partial(_ask, self._workspace))
        settled = origin.settled(judged, asked, known)
        if edited:
            more = f", like {len(edited) - 1} more" if edited[1:] else ""
            raise HubfoldError(
                f"{edited[0]} was edited since it came{more}: it is not what"
                f" {settled.repo_id}@{settled.revision[:12]} has",
                "put the file back as it was, or move it out of the folder: nothing was changed",
            )
        refs, left = self._refs(settled, holdings, cache)
        left += [Left(path, "it is no file of this revision") for path in _besides(offer, settled)]
        return adoption.plan(settled, refs, found, cache, self._workspace.backends, left=left)

    def _folder(self, folder: StrPath) -> Root:
        path = canonical(folder)
        if not os.path.isdir(path):
            what = "is no folder" if os.path.lexists(path) else "is not there"
            raise RootError(f"{path} {what}", "name the folder of a model: hubfold adopt DIR")
        backend = self._workspace.recognised(path) or fallback(self._workspace.backends)
        if backend is None:
            raise HubfoldError("no loaded backend takes a plain folder", "see `hubfold plugins`")
        return Root(path, backend)

    def _offer(self, holdings: Holdings, root: Root, asked: Asked) -> Offer:
        offers = self._workspace.backends[root.backend].offers(root, holdings.walk(root))
        offer = origin.chosen(root.path, offers, asked)
        if offer is None or not offer.files:
            what = "nothing that could be a model" if offer is None else "no file of a model"
            raise HubfoldError(f"{root.path} has {what} ({root.backend})", "name the folder of one model")
        if offer.against:
            raise HubfoldError(f"{root.path}: {offer.against}", "nothing was changed")
        return offer

    def _of_caches(self, holdings: Holdings) -> list[HeldRevision]:
        return [one for one in holdings.held() if holdings.is_cache(one.root)]

    def _refs(self, offer: Offer, holdings: Holdings, cache: Root) -> tuple[list[str], list[Left]]:
        """The refs to make, and those that stay what they are. Without one that is known, what programs ask for."""
        ref = offer.ref or "main"
        held = holdings.by_name.get(Name(offer.repo_type, offer.repo_id), ())
        others = [
            one.snapshot
            for one in held
            if one.root.path == cache.path
            and ref in one.snapshot.refs
            and one.snapshot.revision != offer.revision
        ]
        if not others:
            return [ref], []
        reason = (
            f"it is {others[0].revision[:12]} there, and stays: load this one by revision={offer.revision!r}"
        )
        return [], [Left(f"{offer.repo_id}@{ref}", reason)]

    def preview(self, plan: AdoptPlan) -> AdoptReport:
        """A plan in the form of a report."""
        return adoption.preview(plan)

    def adopt(self, plan: AdoptPlan) -> AdoptReport:
        """See `Engine.adopt`."""
        before = adoption.preview(plan)
        copied = any(plan.how.get(sha256) == "copy" for sha256 in plan.sources)
        done, links, failed, run = self.take(plan, "adopt", [plan.offer.path] if copied else [])
        return replace(
            before,
            run=run,
            made=done.restored,
            written=done.written,
            reused=tuple(one for one in before.reused if one.path in set(done.restored)),
            links=links,
            left=(*before.left, *done.left),
            failed=(*done.failed, *failed),
        )

    def take(
        self, plan: TakePlan, command: str, fold: Sequence[str], *, read_only: bool = True
    ) -> tuple[RestoreReport, tuple[str, ...], tuple[Failed, ...], str]:
        """Make the models of a plan, in one run; then fold what lies below `fold` to what the cache has.

        (What was made, the paths that became links, what failed of that, the run.) With `read_only`, what is shared
        gets so. Raises `NoSpace`, `Locked`, `Interrupted`, `OSError`.
        """
        self.check_space(plan)
        links: tuple[str, ...] = ()
        failed: tuple[Failed, ...] = ()
        state = "interrupted"
        with running.changing(self._workspace, command, [plan.root.path]) as book:
            try:
                directory.make_folders(plan.root.path)
                taker = Taker(plan, book, read_only)
                restorer = Restorer(
                    book,
                    self._workspace.backends[plan.root.backend],
                    plan.restore,
                    self._workspace.progress,
                    self._workspace.stop,
                    means=taker.means,
                    task="adopting",
                    damaged=CHANGED,
                )
                done = restorer.restore(taker)
                whole = {(model.name, model.revision) for model in done.models}
                wanted = [one for one in plan.renewals if one.of in whole]
                renewed = renewing.renew(wanted, plan.root, book, self._workspace.lock_paths)
                done = replace(
                    done,
                    restored=(*done.restored, *renewed.paths),
                    failed=(*done.failed, *renewed.failed),
                )
                if done.models:
                    self._scanning.remember(plan.root)
                    for folder in fold:
                        links, failed = self._fold(folder, plan.root, book)
                state = "finished"
            finally:
                self._let_go(book)
                book.append("end", state=state)
        return done, links, failed, book.run

    def _let_go(self, book: Journal) -> None:
        """Give files that were to be shared, and are not, the mode that they had."""
        book.sync()
        keepers.restore_keepers(journal.read(self._workspace.state.runs, book.run))

    def check_space(self, plan: TakePlan) -> None:
        """Raise `NoSpace`, with the figures, where what has to be copied does not fit."""
        self._places.check_room(plan.root.path, sum(part.size for part in plan.lacking()))
        hint = "make room, or name another cache by --into"
        backup.check_space(plan.root.path, plan.copied_bytes, "this", hint)

    def _fold(self, folder: str, cache: Root, book: Journal) -> tuple[tuple[str, ...], tuple[Failed, ...]]:
        """Let what lies below `folder` twice be links to what the cache has, by the rules of `consolidate`."""
        self._scanning.scan([folder, cache.path], min_size=MIN_SIZE, scope=Scope(only=True))
        try:
            planned = self._planning.plan([folder], into=cache.path, min_size=MIN_SIZE)
        except HubfoldError as error:
            return (), (Failed(folder, str(error)),)
        actions = tuple(one for one in planned.actions if within(one.path, folder))
        report = self._folding.fold_in(replace(planned, actions=actions), book)
        if report.interrupted:
            raise Interrupted("stopped: the cache has all of it, not every old file is a link to it yet")
        return tuple(one.path for one in report.actions), report.failed


def _asked(workspace: Workspace, repo: str | None, revision: str | None) -> Asked:
    if repo is None:
        return Asked(None, revision)
    name = workspace.hub_name(repo, revision)
    return Asked(Name(name.repo_type or "model", name.repo_id), name.revision)


def _ask(workspace: Workspace, name: Name, ref: str) -> Listed | None:
    """What a branch or tag is by the Hub; None where it cannot be asked."""
    hub = workspace.hub()
    if hub.offline:
        return None
    try:
        listing = hub.listing(name, ref, ALL)
    except HubRefused as error:
        raise HubfoldError(
            f"the Hub does not say what {ref} of {name} is: {error}", "give the commit by --revision"
        ) from error
    return Listed(listing.commit, {file.path: file.digests for file in listing.files})


def _besides(offer: Offer, settled: Offer) -> Sequence[str]:
    taken = {file.path for file in settled.files}
    return [file.path for file in offer.files if file.path not in taken]
