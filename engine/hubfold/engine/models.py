"""What `Engine` does with models: list, check, find, watch; the part of the façade that is about them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hubfold.content import IndexedReplica, Role, Root
from hubfold.engine.scanning import Finding
from hubfold.engine.workspace import StrPath
from hubfold.errors import HubfoldError, UsageError

if TYPE_CHECKING:
    from hubfold.library.gather import Library
    from hubfold.library.inventory import Holdings
    from hubfold.models.names import Name
    from hubfold.models.patterns import Selections
    from hubfold.reports.models import CheckReport, Look, Model, ModelsReport


class ModelOperations(Finding):
    """The part of `Engine` that tells what models there are; it changes nothing."""

    def library(self, paths: Sequence[StrPath] = ()) -> Library:
        """The models of the known roots and those found in the environment, or of the roots at `paths`. Asks the disks.

        Raises `RootError` for a path that is no root, `Interrupted`.
        """
        from hubfold.library import gather
        from hubfold.scanning import discover

        known = [] if paths else self._known_roots()
        return gather.gather(
            discover.discover(paths, self._backends, known=known, environ=self.environ),
            self._backends,
            rank=self._by_preference,
            remembered=self._open_index.replicas if self._has_index else None,
            selected=self._asked_for(),
            progress=self.progress,
            stop=self.stop,
        )

    def _asked_for(self) -> Callable[[Name, str], Selections]:
        """What downloads and config.toml asked for of a revision, together."""
        from hubfold.models.patterns import together

        noted = self.state.asked()
        configured = [self.model_name(name) for name in self.config.models or ()]

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
        """The models of all roots (or those named), a row each or one for each revision; see `model_selection`.

        A copy of which nothing says what it is is named by its folder. Raises `UsageError`, `UnknownModel` for a name
        that no root has.
        """
        from hubfold.library import filters as model_selection
        from hubfold.models.names import unknown
        from hubfold.reports.models import ModelsReport
        from hubfold.scanning import discover

        folders = {name: discover.named_folder(name) for name in names}
        wanted = {name: self.model_name(name) for name in names if folders[name] is None}
        model_selection.select(
            (), filters, sort, limit
        )  # what makes no sense is told before the disks are asked
        found = self.library()
        models = [] if names else list(found.models)
        for name in names:
            model = found.find(wanted[name]) if name in wanted else found.at(folders[name])
            if model is None:
                raise unknown(name, [*(self.config.models or ()), *(known.id for known in found.models)])
            models.append(model)
        rows = model_selection.rows(models, revisions=revisions)
        chosen = model_selection.select(rows, filters, sort, limit)
        if not revisions:
            freed = self._freed(model for model, _ in chosen)
            chosen = [
                (replace(model, freed_bytes=size), None)
                for (model, _), size in zip(chosen, freed, strict=True)
            ]
        taken = {unit: size for model, _ in chosen for unit, size in found.payloads.get(model.id, {}).items()}
        return ModelsReport(tuple(chosen), sum(taken.values()), found.warnings)

    def check(self, models: Sequence[str] = ()) -> CheckReport:
        """What is there of `models` (default: those that ``config.toml`` names), and what to do. Needs no network.

        Raises `UsageError` for a name that cannot be a repo id, or where no model is named anywhere.
        """
        from hubfold.library import availability

        configured = list(self.config.models or ())
        if not models and not configured:
            raise UsageError(
                "no model is named, here or in config.toml",
                f"name one, or add [models] to {self.state.config}",
            )
        wanted = [self.model_name(name) for name in models or configured]
        found = self.library()
        sets = self.dupes().sets if self._has_index else ()
        cache = self.download_cache()
        return availability.check(found, wanted, duplicates=sets, cache=cache, names=configured)

    def model_path(self, model: str, file: str | None = None, *, revision: str | None = None) -> str:
        """The folder of a whole revision of `model`, or the path of one `file` of it, whichever root it is in.

        Raises `UsageError`, `UnknownModel`, `NotWhole`.
        """
        from hubfold.library import availability

        wanted = self.model_name(model, revision)
        return availability.path(self.library(), wanted, file, self.config.models or ())

    def look(self, before: Look | None = None) -> Look:
        """Models, downloads that are not at their end, and space, with what has changed since `before`."""
        from hubfold.library import watching

        return watching.look(self.library(), before)

    def download_cache(self) -> str | None:
        """The cache that downloads go to, whether it exists or not; None where no loaded backend has one."""
        try:
            return self._download_cache(None).path
        except HubfoldError:
            return None

    def _by_preference(self, roots: Iterable[Root]) -> list[Root]:
        """Where a model is looked for first: the primary root, then caches, then copies and farms."""
        cache = {name for name, backend in self._backends.items() if backend.capabilities.cache}
        return sorted(
            self._by_role(roots), key=lambda root: (root.role is not Role.PRIMARY, root.backend not in cache)
        )

    def _holdings(self, paths: Sequence[StrPath] = ()) -> Holdings:
        """The known roots and those that the environment names, and `paths`, as they are on the disk now."""
        from hubfold.library.inventory import Holdings
        from hubfold.scanning import discover
        from hubfold.vault import objects

        known = self._known_roots()
        roots = discover.discover((), self._backends, known=known, environ=self.environ)
        roots += discover.discover(paths, self._backends, known=known, environ=self.environ) if paths else []
        found = list({root.path: root for root in roots}.values())
        places = [place for root in found for place in self._backends[root.backend].vault_places(root)]
        vaults = dict.fromkeys([*self._vaults(), *filter(objects.is_vault, places)])
        return Holdings(found, self._backends, list(vaults))

    def _names_of(self, st: os.stat_result) -> list[IndexedReplica]:
        """All names of a payload that the last scans met."""
        if not self._has_index:
            return []
        return self._open_index.payload(st.st_dev, st.st_ino, st.st_size)

    def _freed(self, models: Iterable[Model]) -> list[int]:
        """What `plan_remove` would say that removing each of them alone frees, in bytes."""
        from hubfold.models.names import ModelName
        from hubfold.removal import plan

        holdings = self._holdings()
        freed = []
        for model in models:
            asked = [ModelName(model.id, model.repo_id, model.repo_type)] if model.repo_id else []
            try:
                freed.append(
                    plan.plan(holdings, asked, () if asked else (model.id,), names=self._names_of).bytes
                )
            except HubfoldError:
                freed.append(0)  # it lies where nothing can be removed: in a farm, on a drive that is away
        return freed
