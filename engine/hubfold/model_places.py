"""Models put together from the snapshots of all roots, joined by payload: what they take, and what removing one frees.

A payload takes space once however many names it has, and payloads that share all their extents take it once together.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hubfold import survey
from hubfold.completeness import judge
from hubfold.content import OWN_PREFIX, VAULT_MARKER, Partial, Root, Snapshot
from hubfold.filesystem import FileSystems
from hubfold.model_reports import Model, ModelFile, Place, Revision
from hubfold.walk import within


@dataclass(slots=True)
class _Payload:
    """One inode that models use. `unit` is what takes space: the payload, or extents that several payloads share."""

    unit: object
    size: int
    allocated: int
    nlink: int
    accessed: float
    modified: float
    #: (path of the place) → paths by which it reaches the payload, free of symlinks.
    names: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


@dataclass(slots=True)
class _PlaceOf:
    """A place while it is put together."""

    root: Root
    cache: bool
    path: str
    revisions: list[Revision] = field(default_factory=list)
    payloads: set[tuple[int, int]] = field(default_factory=set)


class Joined:
    """Puts the snapshots of all roots together by model and by payload."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str, str], dict[str, _PlaceOf]] = {}
        self._payloads: dict[tuple[int, int], _Payload] = {}
        self._partials: dict[str, Partial] = {}
        self._filesystems = FileSystems()

    def add(self, root: Root, cache: bool, snapshot: Snapshot) -> None:
        home = snapshot.home or snapshot.path
        key = snapshot.repo_type, snapshot.repo_id, "" if snapshot.repo_id else home
        place = self._models.setdefault(key, {}).setdefault(home, _PlaceOf(root, cache, home))
        used = {
            payload
            for file in snapshot.files
            if file.size is not None and (payload := self._payload(file.path, home)) is not None
        }
        place.payloads |= used
        self._partials |= {partial.path: partial for partial in snapshot.incomplete}
        judgement = judge(snapshot)
        times = [self._payloads[payload].modified for payload in used]
        place.revisions.append(
            Revision(
                snapshot.revision,
                snapshot.refs,
                snapshot.path,
                judgement.state,
                judgement.judged,
                sum(self._payloads[payload].size for payload in used),
                tuple(ModelFile(file.name, file.path, file.size) for file in snapshot.files),
                judgement.missing,
                snapshot.incomplete,
                None if snapshot.expected is None else sum(snapshot.expected.values()),
                max(times) if times else _modified(snapshot.path),
            )
        )

    def _payload(self, path: str, home: str) -> tuple[int, int] | None:
        try:
            st = os.stat(path)
        except OSError:
            return None
        key = st.st_dev, st.st_ino
        known = self._payloads.get(key)
        if known is None:
            unit: object = key
            with suppress(OSError):
                if self._filesystems.of(os.path.dirname(path)).pool:
                    unit = survey.extents_key(os.path.realpath(path), self._filesystems) or key
            allocated = st.st_blocks * 512
            known = _Payload(unit, st.st_size, allocated, st.st_nlink, st.st_atime, st.st_mtime)
            self._payloads[key] = known
        known.names[home].add(os.path.realpath(path))
        return key

    def models(
        self, offline: Sequence[tuple[tuple[str, str], Place]]
    ) -> tuple[list[Model], dict[str, dict[object, int]], int]:
        """The models, with `offline` places of theirs; by id what the payloads of each take; what all take together."""
        users: dict[object, set[tuple[str, str, str]]] = defaultdict(set)
        members: dict[object, list[_Payload]] = defaultdict(list)
        for payload in self._payloads.values():
            members[payload.unit].append(payload)
        for key, places in self._models.items():
            for place in places.values():
                for used in place.payloads:
                    users[self._payloads[used].unit].add(key)
        sizes = {unit: max(payload.allocated for payload in found) for unit, found in members.items()}
        models, taken = [], {}
        for key, places in self._models.items():
            of_model = {payload for place in places.values() for payload in place.payloads}
            units = {self._payloads[payload].unit for payload in of_model}
            removed = [place for place in places.values() if place.cache] or list(places.values())
            freed = [unit for unit in units if all(_goes(payload, removed) for payload in members[unit])]
            model = Model(
                key[0],
                key[1],
                max(
                    sum(self._payloads[payload].size for payload in place.payloads)
                    for place in places.values()
                ),
                sum(_share(sizes[unit], key, users[unit]) for unit in units),
                sum(sizes[unit] for unit in freed),
                (*map(self._place, places.values()), *(place for name, place in offline if name == key[:2])),
                max((self._payloads[payload].accessed for payload in of_model), default=None),
                max((self._payloads[payload].modified for payload in of_model), default=None),
            )
            models.append(model)
            taken[model.id] = {unit: sizes[unit] for unit in units}
        known = {key[:2] for key in self._models}
        for name in sorted({name for name, _ in offline} - known):
            away = [place for other, place in offline if other == name]
            models.append(Model(*name, max(place.bytes for place in away), 0, 0, tuple(away)))
        models.sort(key=lambda model: (model.repo_type, not model.repo_id, model.id))
        begun = sum(_allocated(partial) for partial in self._partials.values())
        return models, taken, sum(sizes.values()) + begun

    def _place(self, place: _PlaceOf) -> Place:
        size = sum(self._payloads[payload].size for payload in place.payloads)
        revisions = tuple(sorted(place.revisions, key=lambda one: one.revision))
        root = place.root
        return Place(root.path, root.backend, root.role, place.cache, place.path, size, revisions)


def _goes(payload: _Payload, removed: list[_PlaceOf]) -> bool:
    """Whether removing these places leaves no name of a payload: none elsewhere, and none that a link needs."""
    homes = {place.path: place.root.path for place in removed}
    if not payload.names.keys() <= homes.keys():
        return False
    names = {name for found in payload.names.values() for name in found}
    inside = all(
        any(within(name, root) and not _our_own(name, root) for root in homes.values()) for name in names
    )
    return inside and payload.nlink <= len(names)


def _our_own(path: str, root: str) -> bool:
    """Whether a path below a root lies in a vault: what is there is kept for links until `hubfold gc`."""
    folder = os.path.dirname(path)
    while within(folder, root) and folder != root:
        if os.path.basename(folder).startswith(OWN_PREFIX) or os.path.lexists(
            os.path.join(folder, VAULT_MARKER)
        ):
            return True
        folder = os.path.dirname(folder)
    return False


def _share(size: int, key: tuple[str, str, str], users: set[tuple[str, str, str]]) -> int:
    """An equal part, so that the shares of all models add up to what is taken: the first gets what is over."""
    part, over = divmod(size, len(users))
    return part + (over if key == min(users) else 0)


def _modified(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def _allocated(partial: Partial) -> int:
    try:
        return os.lstat(partial.path).st_blocks * 512
    except OSError:
        return 0
