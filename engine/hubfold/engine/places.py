"""Places for models: which there are, which one a name means, and what still fits into each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hubfold.content import Role, Root
from hubfold.engine.workspace import Workspace
from hubfold.models.names import ConfiguredModel, ModelName
from hubfold.places import places, space
from hubfold.places.places import Place
from hubfold.places.space import Room
from hubfold.scanning import discover
from hubfold.state.home import KnownRoot

#: The source of a place that nobody named: the client's own cache.
FOUND = "found"


class Places:
    """Tells of places; changes nothing."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def places(self) -> list[Place]:
        """See `Engine.places`."""
        settled = self._workspace.settled
        found = [self._place(one.root, one.sources) for one in settled.settings]
        if any(place.role is Role.PRIMARY for place in found):
            return self._with_client(found, Role.SECONDARY)
        return self._with_client(found, Role.PRIMARY, settled.primary_limit)

    def _with_client(
        self, found: list[Place], role: Role, limit: tuple[int, str] | None = None
    ) -> list[Place]:
        """The same with the cache that the client uses by itself, in this role."""
        client = self._workspace.named_in.client_cache
        if client is None:
            return found
        listed = next((place for place in found if place.cache == client.path), None)
        if listed is not None:
            if role is Role.PRIMARY:
                as_primary = listed._replace(role=role, name=listed.name or str(role))
                found[found.index(listed)] = _limited(as_primary, limit)
            return found
        name = str(role) if role is Role.PRIMARY else ""
        root = KnownRoot(client.path, client.backend, role, None, name)
        return [*found, _limited(self._place(root, {"path": FOUND}), limit)]

    def _place(self, root: KnownRoot, sources: Mapping[str, str]) -> Place:
        workspace = self._workspace
        told = workspace.resolved(root)
        here = Root(told.path, told.backend or "")
        backend = workspace.backends.get(here.backend)
        return Place(
            name=root.name or (str(Role.PRIMARY) if root.role is Role.PRIMARY else ""),
            cache=here.path,
            base=workspace.named_in.base_of(here),
            role=root.role,
            limit_bytes=root.limit,
            source=sources["path"],
            away=workspace.named_in.away(here.path),
            backend=here.backend,
            takes_models=backend is not None and discover.takes_downloads(backend, here),
            sources=dict(sources),
        )

    def place_of(self, word: str) -> Place:
        """See `Engine.place_of`."""
        return places.named(self.places(), word)

    def at(self, path: str) -> Place | None:
        """The place that a path, free of symlinks, lies in."""
        return places.holding(self.places(), path)

    def of_model(self, model: ConfiguredModel, there: Sequence[Place] | None = None) -> Place | None:
        """The place that a model is registered at, None where it may lie anywhere; `there` as by `places`.

        Raises `NoPlace` for a place that is none any more.
        """
        if model.place:
            return places.named(self.places() if there is None else there, model.place)
        cache = self._workspace.named_in.cache_for(model.path, home=True) if model.path else None
        if cache is None:
            return None
        known = self.places() if there is None else there
        listed = next((place for place in known if place.cache == cache.path), None)
        root = KnownRoot(cache.path, cache.backend)
        return listed or self._place(root, {"path": "registered"})

    def of_asked(self, asked: ModelName) -> Place | None:
        """The place that a model is registered at, by the name that was typed, or by its repo id where all names that
        stand for it agree."""
        by_name = self._workspace.models.get(asked.name)
        if by_name is not None:
            return self.of_model(by_name)
        alike = [
            one
            for one in self._workspace.models.values()
            if (one.place or one.path) and one.repo_id.lower() == asked.id.lower()
        ]
        found = list({place.cache: place for one in alike if (place := self.of_model(one))}.values())
        return found[0] if len(found) == 1 else None

    def room(self, place: Place) -> Room:
        """What a place holds, and what still fits, with the reserve of ``config.toml`` kept free."""
        return space.room(place.cache, place.limit_bytes, self._workspace.config.reserve)

    def room_at(self, path: str) -> Room:
        """What there is at a path, by the limit of the place that it lies in."""
        place = self.at(path)
        return (
            self.room(place) if place is not None else space.room(path, None, self._workspace.config.reserve)
        )

    def check_room(self, cache: str, wanted: int) -> None:
        """Raise where `wanted` bytes more cannot come into the place that a cache is, by what is mounted now.

        Raises `PlaceAway` where its drive is not there, `OverLimit` with the figures.
        """
        place = self.there(cache) if wanted else None
        if place is not None:
            self.room(place).check_limit(wanted, place.called)

    def there(self, cache: str) -> Place | None:
        """The place that a cache is, by what is mounted now. Raises `PlaceAway` where its drive is not there."""
        self._workspace.named_in.look_again()
        place = self.at(cache)
        return None if place is None else places.check_there(place)

    def room_left(self, place: Place) -> int:
        """See `Engine.room_left`."""
        return 0 if place.away else self.room(place).left

    def next_for(self, bytes_: int, *, besides: Collection[Place] = ()) -> Place | None:
        """See `Engine.next_place_for`."""
        for place in places.in_order(self.places()):
            if place not in besides and self.room_left(place) >= bytes_:
                return place
        return None


def _limited(place: Place, limit: tuple[int, str] | None) -> Place:
    if limit is None or place.limit_bytes is not None:
        return place
    return place._replace(limit_bytes=limit[0], sources={**place.sources, "limit": limit[1]})
