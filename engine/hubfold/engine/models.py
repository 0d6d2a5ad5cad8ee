"""The models of all roots: listed, checked, found, watched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from hubfold.content import Role, Root
from hubfold.engine.memory import Memory
from hubfold.engine.places import FOUND, Places
from hubfold.engine.scanning import Scanning
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.errors import HubfoldError, UsageError
from hubfold.library import availability, checking, gather, watching
from hubfold.library import filters as model_selection
from hubfold.library.checking import Gate, Home
from hubfold.library.gather import Library
from hubfold.library.inventory import Holdings
from hubfold.models.names import ModelName, Name, unknown
from hubfold.models.patterns import Selections, together
from hubfold.removal import plan
from hubfold.reports.models import CheckReport, Look, Model, ModelsReport
from hubfold.reports.outcomes import Notice
from hubfold.reports.places import PlaceUse
from hubfold.scanning import discover
from hubfold.state.used import Use


class Models:
    """Tells what models there are; changes nothing."""

    def __init__(self, workspace: Workspace, places: Places, memory: Memory, scanning: Scanning) -> None:
        self._workspace = workspace
        self._places = places
        self._scanning = scanning
        self._memory = memory

    def library(self, paths: Sequence[StrPath] = ()) -> Library:
        """See `Engine.library`."""
        return self.gathered(self._holdings(paths))

    def _holdings(self, paths: Sequence[StrPath] = ()) -> Holdings:
        return self._workspace.holdings(
            self._workspace.discover(paths, known=not paths),
            progress=self._workspace.progress,
            stop=self._workspace.stop,
        )

    def gathered(self, holdings: Holdings) -> Library:
        """The models that roots hold, judged by all that is known of them."""
        found = gather.gather(
            holdings,
            rank=self.by_preference,
            remembered=self._workspace.index.replicas if self._workspace.has_index else None,
            selected=self._asked_for(),
            computed=self._workspace.index.digests_of if self._workspace.has_index else None,
            progress=self._workspace.progress,
        )
        return replace(found, warnings=self._warnings(holdings))

    def _warnings(self, holdings: Holdings) -> tuple[Notice, ...]:
        return (*holdings.warnings, *self._workspace.faults_of_no_root())

    def _asked_for(self) -> Callable[[Name, str], Selections]:
        """What downloads and config.toml asked for of a revision, together."""
        noted = self._workspace.state.asked()
        configured = [self._workspace.model_name(name) for name in self._workspace.models]

        def asked_for(name: Name, revision: str) -> Selections:
            known = [one.selection for one in configured if one.means(name.repo_type, name.repo_id)]
            return together([*known, *noted.get((name.repo_type, name.repo_id, revision), ())])

        return asked_for

    def models(
        self,
        names: Sequence[str] = (),
        *,
        filters: Sequence[str] = (),
        sort: str | None = None,
        limit: int | None = None,
        revisions: bool = False,
    ) -> ModelsReport:
        """See `Engine.models`."""
        folders = {name: discover.named_folder(name) for name in names}
        wanted = {name: self._workspace.model_name(name) for name in names if folders[name] is None}
        # What makes no sense is told before the disks are asked.
        model_selection.select((), filters, sort, limit)
        keys = model_selection.keys(filters, sort)
        holdings = self._holdings()
        found = self.gathered(holdings)
        models = [] if names else list(found.models)
        for name in names:
            model = found.find(wanted[name]) if name in wanted else found.at(folders[name])
            if model is None:
                near = [*(self._workspace.models), *(known.id for known in found.models)]
                hidden = availability.hidden(found, wanted[name]) if name in wanted else ()
                raise unknown(name, near, hidden=hidden)
            models.append(model)
        if "frees" in keys:
            models = self._with_freed(holdings, models)
        rows = model_selection.rows(models, revisions=revisions)
        chosen = model_selection.select(rows, filters, sort, limit)
        if not revisions and "frees" not in keys:
            chosen = [(model, None) for model in self._with_freed(holdings, [one for one, _ in chosen])]
        taken = {unit: size for model, _ in chosen for unit, size in found.payloads.get(model.id, {}).items()}
        free = () if names or filters else self._scanning.unreferenced(holdings.usable, all_roots=True)
        return ModelsReport(
            tuple(chosen), sum(taken.values()), self._warnings(holdings), unreferenced=free, by=keys
        )

    def check(
        self, models: Sequence[str] = (), *, cache: StrPath | None = None, anywhere: bool = True
    ) -> CheckReport:
        """See `Engine.check`."""
        configured = list(self._workspace.models)
        if not models and not configured:
            raise UsageError(
                "no model is named, here or in config.toml",
                f"name one, add [models] to {self._workspace.state.config}, or `hubfold register` some",
            )
        wanted = [self._workspace.model_name(name) for name in models]
        where = self._workspace.cache_at(cache)
        asked = wanted or [self._workspace.model_name(name) for name in configured]
        gate = Gate(
            None if where is None else where.path,
            anywhere=anywhere and cache is None,
            named=cache is not None,
            reserve=self._workspace.config.reserve,
            configured=tuple(self._workspace.model_name(name) for name in configured),
            placed={
                Name(*named): caches
                for named, caches in (self._workspace.state.placed() if cache is None else {}).items()
            },
            besides=self._besides(where) if cache is None else (),
            homes=self._homes(asked) if cache is None else {},
            places=self._uses() if cache is None else (),
        )
        found = self.gathered(self._holdings_with(where))
        sets = self._memory.dupes().sets if self._workspace.has_index else ()
        report = checking.check(found, wanted, gate, duplicates=sets)
        whole = {one.id for one in report.models if one.status == "cached"}
        self._used((one for one in wanted or gate.configured if one.id in whole), "check")
        return report

    def _besides(self, where: Root | None) -> tuple[str, ...]:
        """The cache that the client uses by itself, where another one is the primary place."""
        client = self._workspace.named_in.client_cache
        return (client.path,) if client is not None and client != where else ()

    def _homes(self, asked: Sequence[ModelName]) -> dict[str, Home]:
        """Where models are registered. Raises `NoPlace`."""
        found = {one.name: self._places.of_asked(one) for one in asked}
        return {
            name: Home(place.cache, place.called, place.away)
            for name, place in found.items()
            if place is not None
        }

    def _uses(self) -> tuple[PlaceUse, ...]:
        """What the places hold that somebody named, or gave a limit."""
        return tuple(
            PlaceUse(
                place.name,
                place.cache,
                self._places.room(place).used if place.limit_bytes is not None and not place.away else None,
                place.limit_bytes,
                place.away,
            )
            for place in self._places.places()
            if place.limit_bytes is not None or (place.name and place.source != FOUND)
        )

    def _holdings_with(self, root: Root | None) -> Holdings:
        """What the known roots hold, and one that need not be known, nor be there."""
        known = self._workspace.discover()
        there = root is not None and os.path.isdir(root.path)
        more = [root] if root is not None and there else []
        return self._workspace.holdings(
            [*known, *more], progress=self._workspace.progress, stop=self._workspace.stop
        )

    def model_path(self, model: str, file: str | None = None, *, revision: str | None = None) -> str:
        """See `Engine.model_path`."""
        wanted = self._workspace.model_name(model, revision)
        found = self._path(wanted, file)
        self._used([wanted], "path")
        return found

    def _path(self, wanted: ModelName, file: str | None) -> str:
        home = self._places.of_asked(wanted)
        library = self.library()
        names = self._workspace.models
        if home is None:
            return availability.path(library, wanted, file, names)
        # Where it is registered first; it may be whole elsewhere, too.
        with suppress(HubfoldError):
            return availability.path(library.in_root(home.cache), wanted, file, names)
        try:
            return availability.path(library, wanted, file, names)
        except HubfoldError:
            if home.away:
                told = f"{wanted.id} is on `{home.called}`, which is away"
                raise availability.NotWhole(told, "connect its drive") from None
            raise

    def _used(self, models: Iterable[ModelName], command: str) -> None:
        """Note that a program is about to load models: `balance` moves what was used longest ago."""
        names = [(one.repo.repo_type, one.repo.repo_id) for one in models]
        self._workspace.state.used.note(names, Use(int(time.time()), command))

    def look(self, before: Look | None = None) -> Look:
        """Models, downloads that are not at their end, and space, with what has changed since `before`."""
        return watching.look(self.library(), before)

    def by_preference(self, roots: Iterable[Root]) -> list[Root]:
        """Where a model is looked for first: the primary root, then caches, then copies and farms."""
        caches = self._workspace.caches()
        return sorted(
            self._workspace.by_role(roots),
            key=lambda root: (root.role is not Role.PRIMARY, root.backend not in caches),
        )

    def _with_freed(self, holdings: Holdings, models: Sequence[Model]) -> list[Model]:
        """The models with what `plan_remove` would say that removing each alone frees, in bytes."""
        told = []
        progress = self._workspace.progress
        progress.start("adding up what each one frees", len(models), "models")
        try:
            for model in models:
                self._workspace.stop.check()
                name = Name(model.repo_type, model.repo_id)
                freed = plan.freed(holdings, name, model.id, self._workspace.names_of)
                told.append(replace(model, freed_bytes=freed))
                progress.advance(1)
        finally:
            progress.finish()
        return told
