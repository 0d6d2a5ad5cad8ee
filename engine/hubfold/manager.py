"""The cache manager that applications call: a class and a function, with plain paths, numbers and dictionaries.

    from hubfold import ModelCacheManager

    manager = ModelCacheManager()
    if not manager.is_model_cached("org/model"):
        ...
    folder = manager.get_cached_snapshot_path("org/model")

"Cached" means complete: a model that was half downloaded is not cached. Every call asks the disks anew.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubfold import display
from hubfold.disk.paths import free_bytes, named
from hubfold.engine.engine import Engine
from hubfold.errors import HubfoldError, RootError
from hubfold.library import availability
from hubfold.library.gather import Library
from hubfold.models.names import ModelName
from hubfold.reports.models import CheckedModel, Model, ModelPlace, Revision

_GB = 10**9


class ModelCacheManager:
    """The models of one cache, or of all roots that hubfold knows and finds.

    `cache_dir` is a cache, or the base folder that has it as ``hub/``; it need not exist yet. Without it: every cache,
    local copy and farm. Model ids are as ``org/name``, for datasets and spaces ``datasets/org/name``, or a short name
    of config.toml; one that cannot be a repo id raises `UsageError`.
    """

    def __init__(self, cache_dir: str | os.PathLike[str] | None = None) -> None:
        self._given = None if cache_dir is None else named(cache_dir)

    @property
    def cache_dir(self) -> Path:
        """The cache itself; without one given, the one that downloads go to."""
        with Engine() as engine:
            return Path(self._cache_dir(engine, self._library(engine)))

    def find_model_in_cache(self, model_id: str) -> Path | None:
        """The folder of a cached model with all its revisions; None if it is not there as a whole."""
        found = self._found(model_id)
        return None if found is None else Path(found[1].path)

    def is_model_cached(self, model_id: str) -> bool:
        """Whether a program that asks for the model finds all of it."""
        return self._found(model_id) is not None

    def get_cached_snapshot_path(self, model_id: str) -> Path | None:
        """The folder with the files of a cached model, as `snapshot_download` returns it; None if it is not whole."""
        found = self._found(model_id)
        return None if found is None else Path(found[2].path)

    def get_cached_model_path(self, model_id: str) -> Path | None:
        """The folder to load a cached model from, the same as `get_cached_snapshot_path`."""
        return self.get_cached_snapshot_path(model_id)

    def check_model_cache(self, model_id: str) -> dict[str, Any]:
        """How much of a model is there: ``model_id``, ``cached``, ``status`` (cached, incomplete, missing, unknown),
        ``path`` to load from (None if it is missing), ``size_bytes``, ``size_gb`` (10**9), ``missing`` (names),
        ``missing_bytes`` (None: not known) and ``message``, a sentence for people.
        """
        with Engine() as engine:
            [checked] = engine.check([model_id], cache=self._given).models
        return {
            "model_id": checked.id,
            "cached": checked.status == "cached",
            "status": checked.status,
            "path": checked.path,
            "size_bytes": checked.bytes,
            "size_gb": checked.bytes / _GB,
            "missing": [file.name or file.reason for file in checked.missing],
            "missing_bytes": checked.missing_bytes,
            "message": _sentence(checked),
        }

    def download(
        self,
        model_id: str,
        revision: str | None = None,
        *,
        include: str | Sequence[str] = (),
        exclude: str | Sequence[str] = (),
    ) -> Path:
        """Get a model into the cache (without a `cache_dir`: the one that programs load from); its snapshot folder.

        What some root has already is linked or copied, not fetched. `include` and `exclude` are patterns of its files,
        as in ``snapshot_download``; it counts as cached with those. Nothing is asked of the Hub for a commit that is
        whole. Raises `NoSpace`, `HubfoldError` where the model is not whole in the end, `Locked`, `OSError`.
        """
        with Engine() as engine:
            plan = engine.plan_download(
                [model_id],
                revision,
                include=[include] if isinstance(include, str) else include,
                exclude=[exclude] if isinstance(exclude, str) else exclude,
                into=self._given,
            )
            report = engine.download(plan)
        if report.failed or not report.models or report.models[0].path is None:
            why = f": {report.failed[0].error}" if report.failed else ""
            raise HubfoldError(
                f"{model_id} was not downloaded{why}", f"`hubfold download {model_id}` tells more"
            )
        return Path(report.models[0].path)

    def get_model_size(self, model_id: str) -> int:
        """Bytes of one copy of the model with all its revisions, whole or not; 0 if nothing of it is there."""
        with Engine() as engine:
            model = self._library(engine).find(engine.model_name(model_id))
        return 0 if model is None else model.bytes

    def list_cached_models(self) -> list[dict[str, Any]]:
        """The cached models (no datasets), by id: ``model_id``, ``repo_type``, ``size_bytes``, ``size_gb`` (10**9),
        ``path``, ``snapshot_path``, ``revisions`` (commit hashes), ``refs``, ``last_accessed``, ``last_modified``
        (seconds)."""
        with Engine() as engine:
            library = self._library(engine)
        return _all_listed(library, of_models=True)

    def delete_model_cache(self, model_id: str) -> bool:
        """Remove a model, whole or not, from the cache (from every cache, without a `cache_dir`).

        True if it is gone; False if no cache has it, or some of it had to stay. Links elsewhere that need its content
        keep it (`hubfold rm`). It cannot be undone. Raises `Locked` while another hubfold changes something.
        """
        with Engine() as engine:
            model = self._library(engine).find(engine.model_name(model_id))
            places = [place for place in model.places if place.cache] if model is not None else []
            if model is None or not places:
                return False
            plan = engine.plan_remove([model.id], roots=list(dict.fromkeys(place.root for place in places)))
            report = engine.apply_removal(plan)
        return bool(report.models) and not report.failed and not report.interrupted

    def get_cache_info(self) -> dict[str, Any]:
        """``cache_dir``; of the cached models ``model_count``, ``total_size_bytes``, ``total_size_gb`` and ``models``,
        as `list_cached_models` has them; ``dataset_count`` and ``datasets`` (spaces and kernels too, by ``repo_type``);
        ``incomplete_count`` and ``incomplete`` (ids) of what is not whole; ``disk_bytes`` (by blocks, of all of it),
        ``free_bytes``.
        """
        with Engine() as engine:
            library = self._library(engine)
            cache_dir = self._cache_dir(engine, library)
        cached = _all_listed(library, of_models=True)
        others = _all_listed(library, of_models=False)
        whole = {one["model_id"] for one in (*cached, *others)}
        rest = [model for model in library.models if model.id not in whole]
        total = sum(one["size_bytes"] for one in cached)
        return {
            "cache_dir": cache_dir,
            "model_count": len(cached),
            "total_size_bytes": total,
            "total_size_gb": total / _GB,
            "models": cached,
            "dataset_count": sum(one["repo_type"] == "dataset" for one in others),
            "datasets": others,
            "incomplete_count": len(rest),
            "incomplete": [model.id for model in rest],
            "disk_bytes": library.physical_bytes,
            "free_bytes": _free(cache_dir),
        }

    def _found(self, model_id: str) -> tuple[Model, ModelPlace, Revision] | None:
        with Engine() as engine:
            name = engine.model_name(model_id)
            library = self._library(engine)
            model = library.find(name)
        found = None if model is None else _whole(library, model, name)
        return None if model is None or found is None else (model, *found)

    def _library(self, engine: Engine) -> Library:
        if self._given is None:
            return engine.library()
        try:
            return engine.library([self._given])
        except RootError:
            if os.path.lexists(self._given):
                raise
            return Library((), ())

    def _cache_dir(self, engine: Engine, library: Library) -> str:
        if self._given is None:
            return engine.download_cache() or ""
        return library.roots[0].path if library.roots else self._given


def check_model_availability(
    model_id: str, cache_dir: str | os.PathLike[str] | None = None
) -> tuple[bool, str]:
    """Whether a model is whole in a cache, and a sentence that says where, or what it lacks and what to do.

    `cache_dir` is a cache or the folder above it; without one, the cache counts that this environment loads from, as
    for `hubfold check`. Raises nothing for a bad id.
    """
    try:
        with Engine() as engine:
            [checked] = engine.check([model_id], cache=cache_dir, anywhere=False).models
    except HubfoldError as error:
        return False, display.shown(f"{error}; {error.hint}" if error.hint else str(error))
    return checked.status == "cached", _sentence(checked)


def _sentence(checked: CheckedModel) -> str:
    """Where a model is, or what it lacks."""
    return display.shown(_how(checked))


def _how(checked: CheckedModel) -> str:
    if checked.status == "cached":
        return f"{checked.id} is cached in {checked.path} ({display.size(checked.bytes)})"
    if checked.status == "missing" and checked.elsewhere is not None:
        return f"{checked.id} is not cached; all of it is in {checked.elsewhere}"
    if checked.status == "missing" and checked.unreadable:
        return f"{checked.id} may be there: {checked.unreadable[0]} cannot be read"
    if checked.status == "missing":
        near = f"; did you mean {' or '.join(checked.near)}?" if checked.near else ""
        return f"{checked.id} is not cached{near}"
    how = "not known to be whole" if checked.status == "unknown" else "not whole"
    return f"{checked.id} is {how} in {checked.path}: {availability.in_words(checked.missing)}"


def _all_listed(library: Library, *, of_models: bool) -> list[dict[str, Any]]:
    """The cached models of a library, or all but models."""
    chosen = [model for model in library.models if (model.repo_type == "model") == of_models]
    return [_listed(model, *found) for model in chosen if (found := _whole(library, model))]


def _whole(
    library: Library, model: Model, asked: ModelName | None = None
) -> tuple[ModelPlace, Revision] | None:
    name = asked or ModelName(model.id, model.repo_id, model.repo_type)
    return availability.whole(library, model, name)


def _listed(model: Model, place: ModelPlace, revision: Revision) -> dict[str, Any]:
    return {
        "model_id": model.id,
        "repo_type": model.repo_type,
        "size_bytes": model.bytes,
        "size_gb": model.bytes / _GB,
        "path": place.path,
        "snapshot_path": revision.path,
        "revisions": sorted({one.revision for one in model.revisions if one.revision}),
        "refs": list(model.refs),
        "last_accessed": model.last_accessed,
        "last_modified": model.last_modified,
    }


def _free(folder: str) -> int | None:
    return free_bytes(folder) if folder else None
