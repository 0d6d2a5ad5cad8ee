"""A whole cache put into another, and what becomes of the old one."""

from __future__ import annotations

import os
from dataclasses import replace

from hubfold.adoption import migration
from hubfold.adoption.migration import MigratePlan
from hubfold.adoption.sources import Reader
from hubfold.content import Root
from hubfold.disk.paths import canonical, within
from hubfold.engine.adopting import Adopting
from hubfold.engine.places import Places
from hubfold.engine.removal import Removing
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.errors import HubfoldError, RootError, UsageError
from hubfold.models.names import ModelName
from hubfold.reports.outcomes import Failed
from hubfold.reports.transfers import MigrateReport
from hubfold.transfer.archive import BackedUp

#: What becomes of the old cache: it stays as it is, is emptied, or reads what the new one has.
HOWS = ("leave", "move", "link")
_NOT_BROUGHT = "it was not brought over: its model stays"


class Migrating:
    """Plans and migrates."""

    def __init__(self, workspace: Workspace, places: Places, adopting: Adopting, removing: Removing) -> None:
        self._workspace = workspace
        self._places = places
        self._adopting = adopting
        self._removing = removing

    def plan(self, old: StrPath, new: StrPath) -> MigratePlan:
        """See `Engine.plan_migrate`."""
        source = self._cache(old)
        target = self._workspace.root_of(source.backend, new)
        self._places.there(target.path)
        if os.path.lexists(target.path) and not os.path.isdir(target.path):
            raise RootError(f"{target.path} is no folder", "name the folder of a cache")
        if within(source.path, target.path) or within(target.path, source.path):
            raise UsageError(f"{source.path} and {target.path} lie in each other", "name two caches")
        holdings = self._workspace.holdings([*self._workspace.discover(), source, target])
        reader = Reader(
            self._workspace.index.digests_of,
            self._workspace.index.record_digests,
            self._workspace.progress,
            self._workspace.stop,
        )
        return migration.plan(holdings, source, target, reader)

    def _cache(self, place: StrPath) -> Root:
        path = canonical(place)
        if not os.path.isdir(path):
            raise RootError(f"{path} is not there (is its drive connected?)", "name the folder of a cache")
        backend = self._workspace.recognised(path)
        if backend is None or not self._workspace.backends[backend].capabilities.cache:
            raise UsageError(f"{path} is no cache", "`hubfold adopt DIR` is for a folder of one model")
        return self._workspace.root_of(backend, path)

    def preview(self, plan: MigratePlan, how: str) -> MigrateReport:
        """A plan in the form of a report."""
        return migration.preview(plan, how)

    def migrate(self, plan: MigratePlan, how: str) -> MigrateReport:
        """See `Engine.migrate`."""
        if how not in HOWS:
            raise UsageError(f"{how!r} is no way to migrate", f"it is one of {', '.join(HOWS)}")
        before = migration.preview(plan, how)
        done, links, failed, run = self._adopting.take(
            plan, "migrate", [plan.old.path] if how == "link" else [], read_only=False
        )
        report = replace(
            before,
            run=run,
            models=done.models,
            made=tuple(path for path in done.restored if path not in set(before.renewed)),
            renewed=tuple(path for path in done.restored if path in set(before.renewed)),
            written=done.written,
            links=links,
            left=(*plan.left, *done.left),
            failed=(*plan.refused, *done.failed, *failed),
        )
        if how != "move" or report.failed:
            return report
        return self._emptied(plan, report)

    def _emptied(self, plan: MigratePlan, report: MigrateReport) -> MigrateReport:
        """The old cache without what the new one has, each file of it held against the one there."""
        models = dict.fromkeys(_named(model) for model in plan.restore.models)
        # Notes that say something else in the new cache were told of: they stay as they are there.
        told = {
            os.path.join(plan.old.path, os.path.relpath(one.path, plan.root.path))
            for one in plan.left
            if within(one.path, plan.root.path)
        }
        if not models:
            return report
        try:
            removal, strange = self._removing.plan_mirrored(list(models), plan.old.path, plan.root.path, told)
            wrong = [Failed(path, _NOT_BROUGHT) for path in strange]
            report = replace(report, failed=(*report.failed, *wrong))
            if removal is None:
                return report
            gone = self._removing.apply_removal(removal, "migrate")
        except HubfoldError as error:
            return replace(report, failed=(*report.failed, Failed(plan.old.path, str(error))))
        return replace(
            report,
            removed=(*gone.removed, *gone.folders),
            left=(*report.left, *gone.left),
            failed=(*report.failed, *gone.failed),
        )


def _named(model: BackedUp) -> ModelName:
    return ModelName(model.repo_id, model.repo_id, model.repo_type)
