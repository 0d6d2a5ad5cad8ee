"""Names that users give models, and the places that these are to lie at."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hubfold.disk.paths import named
from hubfold.engine.places import Places
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.errors import HubfoldError, UsageError
from hubfold.models.names import ConfiguredModel, unknown
from hubfold.places import places, registry
from hubfold.places.places import NoPlace, Place
from hubfold.places.settings import CONFIG, PROJECT
from hubfold.reports.places import RegisteredModel, RegistryReport

#: The source of a model that is in the registry, and not only in a file.
REGISTERED = "registered"


class Registering:
    """Registers models, and tells of those that are registered or configured."""

    def __init__(self, workspace: Workspace, places_: Places) -> None:
        self._workspace = workspace
        self._places = places_

    def registered(self, names: Sequence[str] = ()) -> RegistryReport:
        """See `Engine.registered_models`."""
        there = self._places.places()
        chosen = list(map(self._known, names)) if names else self._workspace.models.values()
        return RegistryReport(tuple(self._as_far_as_known(one, there) for one in chosen))

    def one(self, name: str) -> RegisteredModel:
        """See `Engine.registered`."""
        return self._told(self._known(name), self._places.places())

    def register(
        self, name: str, repo_id: str, revision: str | None, *, at: str = "", path: StrPath | None = None
    ) -> RegisteredModel:
        """See `Engine.register`."""
        model = ConfiguredModel(
            name, repo_id, revision, place=at, path="" if path is None else os.fsdecode(path)
        )
        if model.place and model.path:
            raise UsageError("a model lies at a place or at a path", "leave one of the two")
        there = self._places.places()
        if model.place:
            place = places.named(there, model.place)
            if not place.takes_models:
                raise UsageError(
                    f"{place.called} is no cache", "name a place that is one (see `hubfold roots`)"
                )
            if model.place not in (place.name, place.role):
                model = model._replace(place=place.name, path="" if place.name else place.cache)
        elif model.path:
            model = model._replace(path=named(model.path))
        self._put([registry.checked(model)])
        return self._told(model, there)

    def import_from(self, path: StrPath) -> RegistryReport:
        """See `Engine.import_registry`."""
        file = named(path)
        try:
            with open(file, encoding="utf-8") as opened:
                text = opened.read()
        except UnicodeDecodeError as error:
            raise UsageError(f"{file} is not UTF-8", "save it as UTF-8") from error
        except OSError as error:
            raise HubfoldError(f"{file} cannot be read: {error.strerror}", "check the path") from error
        there = self._places.places()
        names = [name for one in there if one.takes_models for name in (one.name, str(one.role)) if name]
        models = [
            registry.from_entry(entry, names, os.path.dirname(file)) for entry in registry.entries(text, file)
        ]
        told = tuple(self._told(one, there) for one in models)
        self._put(models)
        return RegistryReport(told)

    def unregister(self, names: Sequence[str]) -> RegistryReport:
        """See `Engine.unregister`."""
        known = self._workspace.registry_of_models.models()
        for name in names:
            if name not in known:
                where = {"config": self._workspace.state.config}.get(self._source(name))
                if where is not None:
                    raise HubfoldError(f"{name} is configured, not registered", f"take it out of {where}")
                raise unknown(name, known, "nobody registered a", "see `hubfold registered`")
        there = self._places.places()
        told = tuple(self._as_far_as_known(known[name], there) for name in names)
        for name in names:
            self._workspace.registry_of_models.remove(name)
        self._workspace.forget_models()
        return RegistryReport(told)

    def _put(self, models: Sequence[ConfiguredModel]) -> None:
        self._workspace.registry_of_models.put(models)
        self._workspace.forget_models()

    def _known(self, name: str) -> ConfiguredModel:
        found = self._workspace.models.get(name)
        if found is None:
            raise unknown(name, self._workspace.models, "nobody registered a", "see `hubfold registered`")
        return found

    def _told(self, model: ConfiguredModel, there: Sequence[Place]) -> RegisteredModel:
        place = self._places.of_model(model, there)
        cache = place.cache if place is not None else self._workspace.cache_of_downloads() or ""
        at = place or next((one for one in there if one.cache == cache), None)
        found = self._named(model)
        if at is None:
            return replace(found, cache_path=model.path or cache, cache_dir=cache)
        path = model.path or at.base or at.cache
        return replace(found, cache_path=path, cache_dir=at.cache, base=at.base, away=at.away)

    def _as_far_as_known(self, model: ConfiguredModel, there: Sequence[Place]) -> RegisteredModel:
        """The same; of one whose place is none any more without a cache, so that it can be taken back."""
        try:
            return self._told(model, there)
        except NoPlace:
            return self._named(model)

    def _named(self, model: ConfiguredModel) -> RegisteredModel:
        return RegisteredModel(
            name=model.name,
            repo_id=model.repo_id,
            revision=model.revision,
            place=model.place or (registry.CUSTOM if model.path else ""),
            cache_path=model.path,
            cache_dir="",
            base=None,
            source=self._source(model.name),
        )

    def _source(self, name: str) -> str:
        files: Mapping[str, Mapping[str, ConfiguredModel] | None] = {
            PROJECT: self._workspace.models_of_project,
            CONFIG: self._workspace.config.models,
        }
        if name in self._workspace.registry_of_models.models():
            return REGISTERED
        return next((source for source, found in files.items() if found and name in found), REGISTERED)
