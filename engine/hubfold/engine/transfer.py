"""Models on their way in and out: downloaded, backed up, restored."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

from hubfold.care.doctor import FROM_THE_HUB
from hubfold.content import Partial, Root, Scope, Signature, SnapshotFile
from hubfold.disk import directory, permissions
from hubfold.disk.paths import named
from hubfold.engine import running
from hubfold.engine.care import Care
from hubfold.engine.farming import Farming
from hubfold.engine.models import Models
from hubfold.engine.places import Places
from hubfold.engine.scanning import Scanning
from hubfold.engine.workspace import NO_CONTENT, StrPath, Workspace
from hubfold.errors import HubRefused
from hubfold.farm.store import NothingToGive
from hubfold.library import availability
from hubfold.library.inventory import Holdings
from hubfold.models.names import ModelName, Name
from hubfold.models.patterns import Selection
from hubfold.places import places, space
from hubfold.places.places import Place
from hubfold.reports.outcomes import Failed
from hubfold.reports.transfers import BackupReport, DownloadReport, RestoreReport
from hubfold.serving import gate, onward
from hubfold.state.used import Use
from hubfold.transfer import allotment, backup, containers, download, restore
from hubfold.transfer.allotment import Target
from hubfold.transfer.backup import BackupPlan
from hubfold.transfer.download import Already, DownloadPlan, Here
from hubfold.transfer.neighbours import Neighbours
from hubfold.transfer.partials import Partials
from hubfold.transfer.placer import Placer
from hubfold.transfer.restore import RestorePlan


class _InCache:
    """The models that a cache has, looked at when that is first asked."""

    def __init__(self, workspace: Workspace, models: Models, cache: Root) -> None:
        self._workspace = workspace
        self._models = models
        self._cache = cache

    @cached_property
    def _holdings(self) -> Holdings:
        return self._workspace.holdings([self._cache])

    def here(self, asked: ModelName) -> Here | None:
        library = self._models.gathered(self._holdings)
        model = library.find(asked)
        found = None if model is None else availability.whole(library, model, asked)
        return None if found is None else Here(found[1].path, found[1].file_count, found[1].bytes)

    def files(self, name: Name, commit: str) -> Mapping[str, SnapshotFile]:
        held = self._holdings.by_name.get(name, ())
        return {
            file.name: file for one in held if one.snapshot.revision == commit for file in one.snapshot.files
        }

    def begun(self, name: Name) -> Iterator[Partial]:
        for held in self._holdings.by_name.get(name, ()):
            yield from held.snapshot.incomplete

    def begun_anywhere(self, sha256: str) -> Sequence[Partial]:
        return self._begun.get(sha256, ())

    @cached_property
    def _begun(self) -> Mapping[str, Sequence[Partial]]:
        """Downloads that are not at their end, in all roots."""
        found: dict[str, dict[str, Partial]] = {}
        for held in self._workspace.holdings([*self._workspace.discover(), self._cache]).held():
            for one in held.snapshot.incomplete:
                if sha256 := one.digests.get("sha256"):
                    found.setdefault(sha256, {})[one.path] = one
        return {sha256: list(partials.values()) for sha256, partials in found.items()}


class Transfer:
    """Downloads, backs up and restores."""

    def __init__(
        self,
        workspace: Workspace,
        places: Places,
        scanning: Scanning,
        farming: Farming,
        models: Models,
        care: Care,
    ) -> None:
        self._workspace = workspace
        self._places = places
        self._models = models
        self._care = care
        self._scanning = scanning
        self._farming = farming
        self._asked_neighbours: Neighbours | None = None

    @property
    def _neighbours(self) -> Neighbours:
        if self._asked_neighbours is None:
            self.ask_neighbours(())
        assert self._asked_neighbours is not None
        return self._asked_neighbours

    def ask_neighbours(self, endpoints: Sequence[str], token_file: StrPath | None = None) -> None:
        """See `Engine.ask_neighbours`."""
        config = self._workspace.config
        endpoints = endpoints or config.neighbours
        token_file = (token_file or config.neighbours_token) if endpoints else None
        token = gate.read_token(named(token_file)) if token_file is not None else None
        self._asked_neighbours = Neighbours(tuple(dict.fromkeys(map(onward.endpoint, endpoints))), token)

    @property
    def neighbours_failed(self) -> Mapping[str, str]:
        """See `Engine.neighbours_failed`."""
        return self._neighbours.failed

    def plan_download(
        self,
        models: Sequence[str],
        revision: str | None = None,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        into: StrPath | None = None,
    ) -> DownloadPlan:
        """See `Engine.plan_download`."""
        given = Selection(tuple(include), tuple(exclude))
        names = [self._workspace.hub_name(model, revision) for model in models]
        asked = [one._replace(selection=given or one.selection) for one in names]
        groups = self._by_target(asked, into)
        self._scanning.scan(min_size=NO_CONTENT)
        plans: list[DownloadPlan] = []
        written: dict[Hashable, int] = {}
        for targets, group in groups:
            plans += allotment.allot(group, targets, self._plan_for, written)
        typed = {one.name: one for one in names}
        plans = plans or [DownloadPlan(self._workspace.download_cache(into), ())]
        first, *others = (self._as_typed(plan, typed) for plan in plans)
        return replace(first, elsewhere=tuple(others))

    @staticmethod
    def _as_typed(plan: DownloadPlan, typed: Mapping[str, ModelName]) -> DownloadPlan:
        """With the names as they were given, for whoever judges what came as `check` does."""
        models = (
            replace(one, asked=typed[one.asked.name] if one.asked is not None else None)
            for one in plan.models
        )
        return replace(plan, models=tuple(models))

    def _by_target(
        self, asked: Sequence[ModelName], into: StrPath | None
    ) -> list[tuple[list[Target], list[ModelName]]]:
        """The models by the caches that each may go to, best first: where it is registered, else any place of the
        user's. Raises `NoPlace`, and `PlaceAway` for one whose drive is not there."""
        groups: dict[tuple[str, bool], tuple[list[Target], list[ModelName]]] = {}
        known = self._places.places()
        free = None
        for one in asked:
            place = self._places.of_asked(one) if into is None else None
            if place is not None:
                targets = [self._target(places.check_there(place))]
            else:
                free = targets = free or self._targets_of(into, known)
            key = targets[0].root.path, place is not None
            groups.setdefault(key, (targets, []))[1].append(one)
        return list(groups.values())

    def _targets_of(self, into: StrPath | None, known: Sequence[Place]) -> list[Target]:
        cache = self._workspace.download_cache(into)
        here = next((place for place in known if place.cache == cache.path), None)
        around = here or places.holding(known, cache.path)
        if around is not None:
            places.check_there(around)
        room = partial(self._places.room_at, cache.path)
        first = Target(cache, here.called if here is not None else cache.path, room)
        others = [] if into is not None else places.in_order(known)
        return [first, *(self._target(one) for one in others if one != here and not one.away)]

    def _target(self, place: Place) -> Target:
        root = Root(place.cache, place.backend, place.role, place.limit_bytes)
        return Target(root, place.called, partial(self._places.room, place))

    def _plan_for(self, cache: Root, asked: Sequence[ModelName]) -> DownloadPlan:
        known = _InCache(self._workspace, self._models, cache)
        planned = download.plan(
            self._workspace.hub(),
            self._workspace.backends[cache.backend],
            cache,
            asked,
            download.Known(
                self._workspace.index.of_size,
                self._workspace.index.digests_of,
                known.here,
                known.files,
                known.begun,
                begun_anywhere=known.begun_anywhere,
                neighbours=self._neighbours.having,
            ),
            caches=self._workspace.caches(),
        )
        found = zip(planned.models, asked, strict=True)
        return replace(planned, models=tuple(replace(model, asked=name) for model, name in found))

    def preview_download(self, plan: DownloadPlan) -> DownloadReport:
        """A plan in the form of a report."""
        return download.preview(plan)

    def check_space(self, plan: DownloadPlan) -> None:
        """Raise `NoSpace`, with the figures, where a download would not fit on a drive, or into a place."""
        wanted: dict[str, int] = {}
        written: dict[Hashable, int] = {}
        for one in plan.each:
            drive = space.drive_of(one.cache.path)
            download.check_space(one, self._workspace.config.reserve, written.get(drive, 0))
            written[drive] = written.get(drive, 0) + one.written_bytes
            wanted.setdefault(one.cache.path, 0)
            wanted[one.cache.path] += sum(map(allotment.needed, one.models))
        for cache, bytes_ in wanted.items():
            self._places.check_room(cache, bytes_)

    def download(
        self,
        plan: DownloadPlan,
        *,
        to: StrPath | None = None,
        program: str | None = None,
        bars: bool = False,
    ) -> DownloadReport:
        """See `Engine.download`."""
        self.check_space(plan)
        first, *others = self._download_into_each(plan.each, bars)
        report = replace(first, elsewhere=tuple(others))
        folders = [model.path for one in report.each for model in one.models if model.path]
        if to is None or not folders:
            return report
        try:
            farm = self._farming.farm(to, snapshots=folders, program=program)
        except NothingToGive as error:
            return replace(report, failed=(*report.failed, Failed(os.fspath(to), str(error))))
        left = tuple(Failed(one.path, one.reason) for one in farm.left) if program is not None else ()
        return replace(report, links=farm.added, failed=(*report.failed, *farm.failed, *left))

    def _download_into_each(self, plans: Sequence[DownloadPlan], bars: bool) -> list[DownloadReport]:
        """A report for each cache; where none of the models of one could be had, the others go on."""
        reports: list[DownloadReport] = []
        errors: list[HubRefused] = []
        for plan in plans:
            try:
                reports.append(self._download_into_one(plan, bars))
            except HubRefused as error:
                errors.append(error)
                failed = tuple(Failed(str(model.name), str(error)) for model in plan.models)
                reports.append(DownloadReport(plan.cache.path, None, (), failed=failed, place=plan.called))
        if len(errors) == len(plans):
            raise errors[0]
        return reports

    def _download_into_one(self, plan: DownloadPlan, bars: bool) -> DownloadReport:
        already = self._placed(plan)
        self._workspace.state.remember_asked(download.asked_for(plan, self._workspace.state.asked()))
        already = self._mended(plan, already)
        if any(model.begun for model in plan.models):
            directory.make_folders(plan.cache.path)
        try:
            with permissions.open_as(plan.cache.path):
                hub = self._workspace.hub(bars=bars)
                partials = Partials(
                    hub,
                    self._workspace.backends[plan.cache.backend],
                    plan.cache,
                    learned=self._learned,
                    progress=self._workspace.progress,
                    stop=self._workspace.stop,
                    neighbours=self._neighbours,
                )
                report = download.fetch_all(hub, plan, self._workspace.stop, already, partials.go_on)
                near = {str(name): came for name, came in partials.from_neighbours.items()}
                told = (replace(one, neighbour_bytes=near.get(one.name, 0)) for one in report.models)
                report = replace(report, models=tuple(told))
        finally:
            # What came before an error is found, and gone on with.
            if os.path.isdir(plan.cache.path):
                self._remember_cache(plan.cache)
                self._remember_placed(plan.cache, [model.name for model in plan.models])
        report = self._judged(plan, report)
        came = {model.name for model in report.models}
        names = [model.name for model in plan.models if str(model.name) in came]
        use = Use(int(time.time()), "download")
        self._workspace.state.used.note([(name.repo_type, name.repo_id) for name in names], use)
        return report

    def _placed(self, plan: DownloadPlan) -> Already:
        """Put what some root has into the cache."""
        wanted = [wanted for model in plan.models for wanted in model.wanted]
        if not wanted:
            return Already()
        directory.make_folders(plan.cache.path)
        with running.changing(self._workspace, "download") as book:
            placer = Placer(
                journal=book,
                backend=self._workspace.backends[plan.cache.backend],
                cache=plan.cache,
                share=plan.share,
                caches=plan.caches,
                learned=self._learned,
                progress=self._workspace.progress,
                stop=self._workspace.stop,
            )
            placer.place_all(wanted)
            book.append("end", state="finished")
            return Already(book.run, tuple(placer.placed), tuple(placer.lies))

    def _mended(self, plan: DownloadPlan, already: Already) -> Already:
        """Put right what lies in the cache and is not what the Hub says."""
        bad = [file for model in plan.models for file in model.bad]
        if not bad:
            return already
        self._remember_cache(plan.cache)
        found = self._care.put_right(plan.cache, bad)
        lies = [Failed(one.path, f"{one.message}: {one.fix}") for one in found if not one.fixed]
        mended = {one.path for one in found if one.fixed and not one.fix.startswith(FROM_THE_HUB)}
        return replace(already, lies=(*already.lies, *lies), mended=frozenset(mended))

    def _judged(self, plan: DownloadPlan, report: DownloadReport) -> DownloadReport:
        """The report without the models that `check` would not call whole: they are told as failures."""
        if not report.models:
            return report
        library = self._models.library()
        names = {str(model.name): model.asked for model in plan.models}
        whole, failed = [], list(report.failed)
        for model in report.models:
            asked = names[model.name]
            lack = availability.lack_at(library, model.path, asked) if model.path and asked else None
            if lack is None:
                whole.append(model)
            else:
                failed.append(Failed(model.name, lack))
        return replace(report, models=tuple(whole), failed=tuple(failed))

    def _learned(self, signature: Signature, sha256: str) -> None:
        self._workspace.index.record_digests(signature, {"sha256": sha256})

    def _remember_cache(self, cache: Root) -> None:
        """A cache that was named by `into` is one of the roots from now on, so that its models are found."""
        self._workspace.named_in.note(cache.path)
        named = self._workspace.named_by_models_alone(cache.path)
        if named or all(root.path != cache.path for root in self._workspace.discover()):
            self._scanning.add_root(cache.path, backend=cache.backend)
            self._scanning.scan(
                [cache.path], backend=cache.backend, min_size=NO_CONTENT, scope=Scope(only=True)
            )

    def _remember_placed(self, cache: Root, models: Sequence[Name]) -> None:
        """Who names a cache for a model means to load it from there: `check` counts that."""
        if cache.path != self._workspace.cache_of_downloads():
            self._workspace.state.remember_placed(
                [(model.repo_type, model.repo_id) for model in models], cache.path
            )

    def missing_models(self, into: StrPath | None = None) -> tuple[str, ...]:
        """See `Engine.missing_models`."""
        checked = self._models.check(cache=into, anywhere=False).models
        return tuple(model.name for model in checked if model.status != "cached")

    def plan_backup(self, target: StrPath, models: Sequence[str] = ()) -> BackupPlan:
        """What backing up `models` (default: all) to a folder, a .tar or a .tar.zst would save. Walks the roots."""
        containers.check_ending(os.fspath(target))
        path = named(target)
        if path.endswith(".zst"):
            containers.zstd()
        asked = [self._workspace.model_name(model) for model in models]
        self._scanning.scan(min_size=NO_CONTENT)
        holdings = self._workspace.holdings()
        return backup.plan(
            holdings,
            path,
            asked,
            self._workspace.index.replica,
            availability.lacking(self._models.gathered(holdings)),
            names=self._workspace.models,
        )

    def preview_backup(self, plan: BackupPlan) -> BackupReport:
        """A plan in the form of a report."""
        return backup.preview(plan)

    def backup(self, plan: BackupPlan) -> BackupReport:
        """Write the backup; a folder is gone on with. Raises `NoSpace`, `BackupError`, `Interrupted`, `OSError`."""
        with running.changing(self._workspace, "backup") as book:
            name = containers.temporary_name(book.run)
            tar = containers.is_tar(plan.target)
            folder = os.path.dirname(plan.target) if tar else plan.target
            path = os.path.join(folder, name)
            book.announce("make", path=plan.target, root=folder, temporary=path)
            book.sync()
            state = "interrupted"
            writer: containers.Writer | None = None
            try:
                writer = (
                    containers.TarWriter(plan.target, name)
                    if tar
                    else containers.FolderWriter(plan.target, name, self._workspace.backends)
                )
                with self._workspace.readers() as readers:
                    saver = backup.Saver(
                        writer,
                        self._workspace.index.replica,
                        self._workspace.progress,
                        self._workspace.stop,
                        ahead=readers if self._workspace.spread is not None else None,
                    )
                    hint = "name another place, or back up fewer models"
                    backup.check_space(folder, saver.needed(plan), "the backup", hint)
                    report = saver.save(plan)
                state = "finished"
            finally:
                if state != "finished" and writer is not None:
                    writer.abandon()
                book.append("end", state=state)
        return replace(report, run=book.run)

    def plan_restore(
        self, source: StrPath, models: Sequence[str] = (), *, into: StrPath | None = None
    ) -> RestorePlan:
        """See `Engine.plan_restore`."""
        asked = [self._workspace.model_name(model) for model in models]
        path = named(source)
        backed_up = containers.reader(path).read_list(self._workspace.backends)

        def planned(into: StrPath | None, cache: Root) -> RestorePlan:
            roots_for = partial(self._roots_for, into, cache)
            return restore.plan(backed_up, roots_for, self._workspace.backends, asked)

        first = self._workspace.download_cache(None)
        if into is not None:
            return planned(self._workspace.folder_of(into), first)
        plan = planned(None, first)
        return self._where_there_is_room(plan, partial(planned, None)) if first == plan.root else plan

    def _where_there_is_room(self, plan: RestorePlan, planned: Callable[[Root], RestorePlan]) -> RestorePlan:
        """The plan for the first place that has the room; `plan` itself, which will be refused, if there is none."""
        first, *others = self._targets_of(None, self._places.places())
        room = first.room()
        if plan.missing_bytes <= room.left:
            return plan
        for target in others:
            other = planned(target.root)
            if other.missing_bytes <= target.room().left:
                return replace(other, why=f"{first.called} has no room for it ({room.figures})")
        return plan

    def _roots_for(self, into: StrPath | None, cache: Root, layouts: Sequence[str]) -> dict[str, Root]:
        """Where models of each of `layouts` go, the client's `cache` first; none for those that have no place.

        One place that a user named is for one layout: its own, else that of the cache, else the first.
        """
        workspace = self._workspace
        if into is not None:
            there = workspace.recognised(into) or cache.backend
            wanted = layouts or [cache.backend]
            own = next(layout for layout in (there, cache.backend, *wanted) if layout in wanted)
            return {own: workspace.root_of(own, into)}
        found = {cache.backend: cache} if cache.backend in layouts or not layouts else {}
        for root in workspace.by_role(workspace.discover()):
            if root.backend in layouts and os.path.isdir(root.path):
                found.setdefault(root.backend, root)
        return found

    def preview_restore(self, plan: RestorePlan) -> RestoreReport:
        """A plan in the form of a report."""
        return restore.preview(plan)

    def restore(self, source: StrPath, plan: RestorePlan) -> RestoreReport:
        """Put the models of the plan into its root; what is there stays. Raises `NoSpace`, `BackupError`, `OSError`."""
        path = named(source)
        hint = "make room, or name another cache by --into"
        written: dict[Hashable, int] = {}
        for one in plan.each:
            drive = space.drive_of(one.root.path)
            written[drive] = written.get(drive, 0) + one.missing_bytes
            backup.check_space(one.root.path, written[drive], "this", hint)
            self._places.check_room(one.root.path, one.missing_bytes)
        reports = []
        with running.changing(self._workspace, "restore") as book:
            state = "interrupted"
            try:
                for one in plan.each:
                    directory.make_folders(one.root.path)
                    restorer = restore.Restorer(
                        book,
                        self._workspace.backends[one.root.backend],
                        one,
                        self._workspace.progress,
                        self._workspace.stop,
                    )
                    reports.append(restorer.restore(containers.reader(path)))
                state = "finished"
            finally:
                book.append("end", state=state)
        return restore.together(plan, reports)
