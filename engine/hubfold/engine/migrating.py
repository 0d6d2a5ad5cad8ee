"""A whole cache put into another, and what becomes of the old one."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from hubfold.adoption import migration
from hubfold.adoption.migration import MigratePlan
from hubfold.adoption.sources import Reader
from hubfold.backend.changes import Removal
from hubfold.content import Root
from hubfold.disk.paths import canonical, within
from hubfold.engine.adopting import Adopting
from hubfold.engine.places import Places
from hubfold.engine.removal import Removing
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.errors import HubfoldError, RootError, UsageError
from hubfold.reports.outcomes import Failed
from hubfold.reports.transfers import MigrateReport
from hubfold.transfer.archive import BackedUp

#: What becomes of the old cache: it stays as it is, is emptied, or reads what the new one has.
HOWS = ("leave", "move", "link")
_NOT_BROUGHT = "it was not brought over, and stays"


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
            made=done.restored,
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
        wrong = [
            Failed(path, "it is not in the new cache as it was; it stays")
            for model in plan.restore.models
            for path in _not_there(plan, model)
        ]
        if wrong or not plan.restore.models:
            return replace(report, failed=(*report.failed, *wrong))
        names = dict.fromkeys(_named(model) for model in plan.restore.models)
        brought = _Brought.of(plan)
        try:
            removal = self._removing.plan_remove(list(names), roots=[plan.old.path])
            more = {_name_of(one): found for one in removal.removals if (found := brought.lacks(one))}
            wrong = [Failed(path, f"{_NOT_BROUGHT}, with {name}") for name, path in more.items()]
            report = replace(report, failed=(*report.failed, *wrong))
            if more:
                left = [name for name in names if name not in more]
                if not left:
                    return report
                removal = self._removing.plan_remove(left, roots=[plan.old.path])
            gone = self._removing.apply_removal(removal, "migrate")
        except HubfoldError as error:
            return replace(report, failed=(*report.failed, Failed(plan.old.path, str(error))))
        return replace(
            report,
            removed=(*gone.removed, *gone.folders),
            left=(*report.left, *gone.left),
            failed=(*report.failed, *gone.failed),
        )


@dataclass(frozen=True, slots=True)
class _Brought:
    """What of the old cache is in the new one by now: a client may have downloaded into the old one meanwhile."""

    revisions: frozenset[tuple[str, str, str]]
    #: Its files, by device and inode.
    files: frozenset[tuple[int, int]]

    @staticmethod
    def of(plan: MigratePlan) -> _Brought:
        models = plan.restore.models
        names = {part.name for model in models for part in model.parts}
        # Notes that say something else in the new cache were told: they stay there, and need not be here.
        names |= {
            os.path.relpath(one.path, plan.root.path) for one in plan.left if within(one.path, plan.root.path)
        }
        files = {(one.signature.device, one.signature.inode) for one in plan.sources.values()}
        for name in names:
            with suppress(OSError):
                st = os.stat(os.path.join(plan.old.path, name))
                files.add((st.st_dev, st.st_ino))
        revisions = {(model.repo_type, model.repo_id, model.revision) for model in models}
        return _Brought(frozenset(revisions), frozenset(files))

    def lacks(self, removal: Removal) -> str:
        """Something that would go with a model and is not in the new cache; "" where there is nothing."""
        for revision in removal.revisions:
            if (removal.repo_type, removal.repo_id, revision) not in self.revisions:
                return f"{removal.path}@{revision[:12]}"
        for path in removal.files:
            with suppress(FileNotFoundError):
                st = os.lstat(path)
                if stat.S_ISREG(st.st_mode) and st.st_size and (st.st_dev, st.st_ino) not in self.files:
                    return path
        return ""


def _name_of(removal: Removal) -> str:
    return removal.repo_id if removal.repo_type == "model" else f"{removal.repo_type}s/{removal.repo_id}"


def _named(model: BackedUp) -> str:
    return model.repo_id if model.repo_type == "model" else f"{model.repo_type}s/{model.repo_id}"


def _not_there(plan: MigratePlan, model: BackedUp) -> Sequence[str]:
    """What of a revision the new cache has not, by what lies there now, which is durable then; paths there."""
    found = []
    for part in model.parts:
        path = os.path.join(plan.root.path, part.name)
        try:
            st = os.stat(path)
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        except OSError:
            found.append(path)
            continue
        if part.link is None and (not stat.S_ISREG(st.st_mode) or st.st_size != part.size):
            found.append(path)
    return found
