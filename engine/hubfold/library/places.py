"""Models put together from the snapshots of all roots, joined by payload: what they take, and whose it is.

A payload takes space once however many names it has, and payloads that share all their extents take it once together.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hubfold.content import Partial, Root, Snapshot
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.paths import RealPaths
from hubfold.library.completeness import judge
from hubfold.library.contents import NOTHING, Contents
from hubfold.models.patterns import Selections
from hubfold.reading import extents
from hubfold.reports.models import Model, ModelFile, ModelPlace, Revision

#: (repo_type, repo_id, path): the path only where the repo id is not known.
_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Payload:
    """One inode that models use. `unit` is what takes space: the payload, or extents that several payloads share."""

    path: str
    unit: object
    #: Its file system can share extents between files.
    may_share: bool
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

    @property
    def has_any(self) -> bool:
        """Whether a file of the model is there, or the beginning of one."""
        return any(one.files or one.partials for one in self.revisions)


class Joined:
    """Puts the snapshots of all roots together by model and by payload."""

    def __init__(self, contents: Contents = NOTHING) -> None:
        self._contents = contents
        self._models: dict[_Key, dict[str, _PlaceOf]] = {}
        self._payloads: dict[tuple[int, int], _Payload] = {}
        self._partials: dict[str, Partial] = {}
        self._filesystems = FileSystems()
        self._real_paths = RealPaths()

    def add(self, root: Root, cache: bool, snapshot: Snapshot, selections: Selections) -> None:
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
        judgement = judge(snapshot, self._contents)
        times = [self._payloads[payload].modified for payload in used]
        place.revisions.append(
            Revision(
                revision=snapshot.revision,
                refs=snapshot.refs,
                path=snapshot.path,
                state=judgement.state,
                judged=judgement.judged,
                bytes=sum(self._payloads[payload].size for payload in used),
                files=tuple(ModelFile(file.name, file.path, file.size) for file in snapshot.files),
                missing=judgement.missing,
                partials=snapshot.incomplete,
                expected_bytes=None if snapshot.expected is None else sum(snapshot.expected.values()),
                last_modified=max(times) if times else _modified(snapshot.path),
                weightless=judgement.weightless,
                among_others=snapshot.path == place.root.path and snapshot.home not in ("", snapshot.path),
            ).only(selections)
        )

    def _payload(self, path: str, home: str) -> tuple[int, int] | None:
        try:
            st = os.stat(path)
        except OSError:
            return None
        key = st.st_dev, st.st_ino
        real = self._real_paths.of(path)
        known = self._payloads.get(key)
        if known is None:
            known = self._payloads[key] = self._seen(real, key, st)
        known.names[home].add(real)
        return key

    def _seen(self, path: str, key: tuple[int, int], st: os.stat_result) -> _Payload:
        unit: object = key
        may_share = False
        with suppress(OSError):
            may_share = bool(self._filesystems.of(os.path.dirname(path)).pool)
            unit = (extents.extents_key(path, self._filesystems) if may_share else None) or key
        return _Payload(
            path=path,
            unit=unit,
            may_share=may_share,
            size=st.st_size,
            allocated=st.st_blocks * 512,
            nlink=st.st_nlink,
            accessed=st.st_atime,
            modified=st.st_mtime,
        )

    def models(
        self, offline: Sequence[tuple[tuple[str, str], ModelPlace]]
    ) -> tuple[list[Model], dict[str, dict[object, int]], int]:
        """The models, with `offline` places of theirs; by id what the payloads of each take; what all take together."""
        units = _Units(self._payloads.values())
        for key, places in self._models.items():
            for place in places.values():
                for payload in place.payloads:
                    units.users[self._payloads[payload].unit].add(key)
        models, taken = [], {}
        away: dict[tuple[str, str], list[ModelPlace]] = defaultdict(list)
        for name, gone in offline:
            away[name].append(gone)
        for key, there in self._models.items():
            model = self._model(key, list(there.values()), away.get(key[:2], []), units)
            models.append(model)
            of_model = {payload for place in there.values() for payload in place.payloads}
            taken[model.id] = {
                unit: units.sizes[unit] for unit in (self._payloads[one].unit for one in of_model)
            }
        known = {key[:2] for key in self._models}
        for name in sorted(away.keys() - known):
            repo_type, repo_id = name
            size = max(place.bytes for place in away[name])
            models.append(
                Model(
                    repo_type=repo_type,
                    repo_id=repo_id,
                    bytes=size,
                    physical_bytes=0,
                    places=tuple(away[name]),
                )
            )
        models.sort(key=lambda model: (model.repo_type, not model.repo_id, model.id))
        begun = sum(_allocated(partial) for partial in self._partials.values())
        return models, taken, sum(units.sizes.values()) + begun

    def _model(self, key: _Key, places: list[_PlaceOf], away: list[ModelPlace], units: _Units) -> Model:
        # A download into a folder leaves a ref in the cache, and nothing else: that is no place of the model.
        places = [place for place in places if place.has_any] or places
        payloads = [self._payloads[one] for one in {one for place in places for one in place.payloads}]
        used = {payload.unit for payload in payloads}
        # Where it is whole is named first, where only the beginning of a download lies last.
        there = sorted(map(self._place, places), key=lambda place: (not place.whole, not place.bytes))
        repo_type, repo_id, _ = key
        return Model(
            repo_type=repo_type,
            repo_id=repo_id,
            bytes=max(place.bytes for place in there),
            physical_bytes=sum(units.share(unit, key) for unit in used),
            places=(*there, *away),
            last_accessed=max((payload.accessed for payload in payloads), default=None),
            last_modified=max((payload.modified for payload in payloads), default=None),
        )

    def _place(self, place: _PlaceOf) -> ModelPlace:
        size = sum(self._payloads[payload].size for payload in place.payloads)
        revisions = tuple(sorted(place.revisions, key=lambda one: one.revision))
        root = place.root
        return ModelPlace(
            root=root.path,
            backend=root.backend,
            role=root.role,
            cache=place.cache,
            path=place.path,
            bytes=size,
            revisions=revisions,
        )


class _Units:
    """What takes space, with who uses it."""

    def __init__(self, payloads: Iterable[_Payload]) -> None:
        self.users: dict[object, set[_Key]] = defaultdict(set)
        self._members: dict[object, list[_Payload]] = defaultdict(list)
        for payload in payloads:
            self._members[payload.unit].append(payload)
        #: Bytes by allocated blocks.
        self.sizes = {
            unit: max(payload.allocated for payload in found) for unit, found in self._members.items()
        }

    def share(self, unit: object, key: _Key) -> int:
        """An equal part, so that the shares of all models add up to what is taken: the first gets what is over."""
        part, over = divmod(self.sizes[unit], len(self.users[unit]))
        return part + (over if key == min(self.users[unit]) else 0)


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
