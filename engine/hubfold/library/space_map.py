"""Where the bytes are: root by root, model by model, file by file, every payload once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from operator import attrgetter

from hubfold.content import IndexedReplica, Root
from hubfold.models.names import Name
from hubfold.reports.overview import MappedFile, MappedModel, MappedPlace

#: Device and inode.
Payload = tuple[int, int]


def space_map(
    roots: Iterable[tuple[Root, Iterable[IndexedReplica]]],
    duplicates: Collection[Payload],
    called: Mapping[str, str],
) -> tuple[MappedPlace, ...]:
    """Roots in their order; a payload that several have counts in the first, under the first of its paths.

    `duplicates` are the payloads whose bytes others have too, `called` gives files of caches their names in the model.
    """
    seen: set[Payload] = set()
    places = [_place(root, replicas, duplicates, called, seen) for root, replicas in roots]
    return tuple(place for place in places if place.models)


def _place(
    root: Root,
    replicas: Iterable[IndexedReplica],
    duplicates: Collection[Payload],
    called: Mapping[str, str],
    seen: set[Payload],
) -> MappedPlace:
    models: dict[str, list[MappedFile]] = {}
    for replica in replicas:
        if replica.payload in seen or not replica.allocated:
            continue
        seen.add(replica.payload)
        name = called.get(replica.path) or replica.path.removeprefix(root.path).lstrip("/")
        found = MappedFile(name, replica.allocated, replica.payload in duplicates)
        models.setdefault(_model_of(replica), []).append(found)
    mapped = [
        MappedModel(
            model,
            sum(file.bytes for file in files),
            tuple(sorted(files, key=lambda file: (-file.bytes, file.name))),
        )
        for model, files in models.items()
    ]
    mapped.sort(key=lambda one: (-one.bytes, one.id))
    return MappedPlace(root.path, root.backend, sum(map(attrgetter("bytes"), mapped)), tuple(mapped))


def _model_of(replica: IndexedReplica) -> str:
    return str(Name(replica.repo_type or "model", replica.repo_id)) if replica.repo_id else ""
