"""What `Engine` does with models: list, check, find, watch; the part of the façade that is about them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hubfold.content import Role, Root
from hubfold.errors import HubfoldError, UsageError

if TYPE_CHECKING:
    from hubfold.backend import StorageBackend
    from hubfold.config import Config
    from hubfold.index import Index
    from hubfold.library import Library
    from hubfold.model_names import ModelName, Name
    from hubfold.model_reports import CheckReport, Look, Model, ModelsReport
    from hubfold.progress import Progress, Stop
    from hubfold.registry import Registry
    from hubfold.reports import DupesReport
    from hubfold.selection import Selections
    from hubfold.state import State

StrPath = str | os.PathLike[str]


class ModelOperations:
    """Inherited by `Engine`, which has all that is declared here."""

    if TYPE_CHECKING:
        environ: Mapping[str, str]
        state: State
        progress: Progress
        stop: Stop

        @property
        def config(self) -> Config: ...
        @property
        def registry(self) -> Registry: ...
        @property
        def _backends(self) -> dict[str, StorageBackend]: ...
        @property
        def _open_index(self) -> Index: ...
        @property
        def _has_index(self) -> bool: ...
        def _known_roots(self) -> list[Root]: ...
        def _by_role(self, roots: Iterable[Root]) -> list[Root]: ...
        def _download_cache(self, into: StrPath | None) -> Root: ...
        def _freed(self, models: Iterable[Model]) -> list[int]: ...
        def dupes(self, paths: Sequence[StrPath] = ()) -> DupesReport: ...

    def library(self, paths: Sequence[StrPath] = ()) -> Library:
        """The models of the known roots and those found in the environment, or of the roots at `paths`. Asks the disks.

        Raises `RootError` for a path that is no root, `Interrupted`.
        """
        from hubfold import discover, library

        known = [] if paths else self._known_roots()
        return library.gather(
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
        from hubfold.selection import together

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
        from hubfold import discover, model_selection
        from hubfold.model_names import unknown
        from hubfold.model_reports import ModelsReport

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

    def model_name(self, name: str, revision: str | None = None) -> ModelName:
        """What a name given by a user asks for: one of ``config.toml``, or a repo id. Raises `UsageError`."""
        from hubfold import model_names

        return model_names.parse(name, self.config.models, revision)

    def check(self, models: Sequence[str] = ()) -> CheckReport:
        """What is there of `models` (default: those that ``config.toml`` names), and what to do. Needs no network.

        Raises `UsageError` for a name that cannot be a repo id, or where no model is named anywhere.
        """
        from hubfold import availability

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
        from hubfold import availability

        wanted = self.model_name(model, revision)
        return availability.path(self.library(), wanted, file, self.config.models or ())

    def look(self, before: Look | None = None) -> Look:
        """Models, downloads that are not at their end, and space, with what has changed since `before`."""
        from hubfold import watching

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
