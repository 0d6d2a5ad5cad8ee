"""The models of all roots as they lie on the disks now: what the backends see, joined by payload.

The disks are asked, not the index, so that what is said of space and of completeness is true; the index only answers
for roots whose drive is away.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hubfold import survey
from hubfold.backend import StorageBackend
from hubfold.completeness import judge
from hubfold.content import OWN_PREFIX, VAULT_MARKER, IndexedReplica, Partial, Root, Snapshot
from hubfold.errors import HubfoldError, Interrupted
from hubfold.filesystem import FileSystems
from hubfold.model_reports import Judged, Model, ModelFile, Place, Revision, State
from hubfold.progress import Progress, Silent, Stop
from hubfold.reports import Notice
from hubfold.walk import TreeWalk, within

if TYPE_CHECKING:
    from hubfold.model_names import ModelName

#: Asks the index for the replicas of a root that cannot be walked.
Remembered = Callable[[str], Iterable[IndexedReplica]]


@dataclass(frozen=True, slots=True)
class Library:
    """The models, by their `Model.id`; roots in the order in which their places are preferred."""

    models: tuple[Model, ...]
    roots: tuple[Root, ...]
    #: Every payload of every model once, and the downloads that are not at their end, by allocated blocks.
    physical_bytes: int = 0
    warnings: tuple[Notice, ...] = ()
    #: By model: what its own payloads take, every one counted whole.
    payloads: Mapping[str, Mapping[object, int]] = field(default_factory=dict)

    def find(self, wanted: ModelName) -> Model | None:
        """The model of this name; where several types have it, the model comes first."""
        found = [
            model for model in self.models if model.repo_id and wanted.means(model.repo_type, model.repo_id)
        ]
        return min(found, key=lambda model: model.repo_type != "model", default=None)

    def candidates(self, model: Model, revision: str | None) -> list[tuple[Place, Revision]]:
        """Where a program may find a model: of each place the revision it would get, the preferred place first.

        `revision` is a branch, a tag, or a commit hash of which the first seven digits or more may be given.
        """
        if revision is None:
            return [(place, place.default) for place in model.places]
        return [
            (place, one)
            for place in model.places
            for one in place.revisions
            if revision in one.refs
            or one.revision == revision
            or (len(revision) >= 7 and one.revision.startswith(revision))
        ]


def gather(
    roots: Sequence[Root],
    backends: Mapping[str, StorageBackend],
    *,
    rank: Callable[[Iterable[Root]], list[Root]] = list,
    remembered: Remembered | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Library:
    """Ask the backends of all `roots`, and of the roots that lie in them, for their models.

    `rank` puts roots in the order of preference. A backend that fails or a root that cannot be read is a warning.
    Raises `Interrupted`.
    """
    walks = _Walks(roots, backends, progress or Silent(), stop or Stop())
    walks.run()
    ordered = rank(walks.roots)
    joined = _Joined()
    found = {path: [walks.named(snapshot) for snapshot in of_root] for path, of_root in walks.found.items()}
    told = _Told([snapshot for root in ordered for snapshot in found.get(root.path, ())])
    for root in ordered:
        for snapshot in found.get(root.path, ()):
            joined.add(root, backends[root.backend].capabilities.cache, told.completed(snapshot))
    offline = []
    for root in walks.away:
        if remembered is not None:
            with suppress(HubfoldError):
                offline += _remembered(root, remembered(root.path))
    return joined.library(tuple(ordered), offline, tuple(walks.warnings))


class _Walks:
    """Asks root after root; those that are found on the way join the end."""

    def __init__(
        self, roots: Sequence[Root], backends: Mapping[str, StorageBackend], progress: Progress, stop: Stop
    ) -> None:
        self.roots: list[Root] = list(roots)
        #: By path of the root.
        self.found: dict[str, list[Snapshot]] = {}
        self.away: list[Root] = []
        self.warnings: list[Notice] = []
        self._backends = backends
        self._progress = progress
        self._stop = stop
        self._commits: dict[str, tuple[str, str]] = {}
        self._known = {root.path for root in roots}

    def run(self) -> None:
        self._progress.start("looking for models", None, "files")
        try:
            for root in self.roots:
                self._ask(root)
        finally:
            self._progress.finish()

    def named(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with its repo id, which a cache that was asked later may have told."""
        if snapshot.repo_id or snapshot.revision not in self._commits:
            return snapshot
        repo_id, repo_type = self._commits[snapshot.revision]
        return replace(snapshot, repo_id=repo_id, repo_type=repo_type)

    def _ask(self, root: Root) -> None:
        if root.backend not in self._backends:
            self.warnings.append(Notice(root.path, f"its backend {root.backend!r} is not loaded: left out"))
            return
        if not os.path.isdir(root.path):
            self.away.append(root)
            self.warnings.append(
                Notice(root.path, "is not there (is its drive connected?): told as the last scan saw it")
            )
            return
        walk = TreeWalk(
            root,
            self._backends,
            boundaries=self._known,
            found=self._found,
            commits=self._commits,
            advance=self._progress.advance,
            stop=self._stop,
        )
        try:
            for snapshot in self._backends[root.backend].snapshots(root, walk):
                self.found.setdefault(root.path, []).append(snapshot)
        except Interrupted:
            raise
        except Exception as error:  # noqa: BLE001 - a fault in one backend stops nothing else
            self.warnings.append(
                Notice(root.path, f"the backend {root.backend} failed: {type(error).__name__}: {error}")
            )
        self.warnings += walk.warnings

    def _found(self, backend: str, path: str) -> None:
        if path not in self._known:
            self._known.add(path)
            self.roots.append(Root(path, backend))


class _Told:
    """What one root tells of a revision holds in the others: its listing, and that a view without a name is it."""

    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self._listings: dict[tuple[str, str, str], Mapping[str, int]] = {}
        self._revisions: dict[tuple[str, str], list[Snapshot]] = defaultdict(list)
        for snapshot in snapshots:
            if snapshot.repo_id and snapshot.revision:
                self._revisions[snapshot.repo_type, snapshot.repo_id].append(snapshot)
                if snapshot.expected is not None:
                    key = snapshot.repo_type, snapshot.repo_id, snapshot.revision
                    self._listings.setdefault(key, snapshot.expected)

    def completed(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the revision and the listing that other roots know."""
        if not snapshot.repo_id:
            return snapshot
        revision = snapshot.revision or self._revision_of(snapshot)
        listing = self._listings.get((snapshot.repo_type, snapshot.repo_id, revision))
        return replace(snapshot, revision=revision, expected=snapshot.expected or listing)

    def _revision_of(self, view: Snapshot) -> str:
        """The revision whose payloads the links of a farm lead to; empty where there is none, or nothing leads there."""
        wanted = {file.name: file.path for file in view.files if file.size is not None}
        known = self._revisions.get((view.repo_type, view.repo_id), [])
        for snapshot in sorted(known, key=lambda one: ("main" not in one.refs, not one.refs)):
            paths = {file.name: file.path for file in snapshot.files}
            if wanted and all(name in paths and _same(path, paths[name]) for name, path in wanted.items()):
                return snapshot.revision
        return ""


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


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


class _Joined:
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

    def library(
        self,
        roots: tuple[Root, ...],
        offline: list[tuple[tuple[str, str], Place]],
        warnings: tuple[Notice, ...],
    ) -> Library:
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
        return Library(tuple(models), roots, sum(sizes.values()) + begun, warnings, taken)

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


def _remembered(root: Root, replicas: Iterable[IndexedReplica]) -> list[tuple[tuple[str, str], Place]]:
    """The models of a root that is away, by what the index knows of its files."""
    known: dict[tuple[str, str], dict[str, dict[tuple[int, int], int]]] = {}
    for replica in replicas:
        if replica.repo_id is not None:
            of_model = known.setdefault((replica.repo_type or "model", replica.repo_id), {})
            of_model.setdefault(replica.revision or "", {})[replica.payload] = replica.signature.size
    places = []
    for name, by_revision in known.items():
        revisions = tuple(
            Revision(
                revision, (), root.path, State.OFFLINE, Judged.FILES, sum(by_revision[revision].values()), ()
            )
            for revision in sorted(by_revision)
        )
        size = sum({payload: n for found in by_revision.values() for payload, n in found.items()}.values())
        places.append((name, Place(root.path, root.backend, root.role, False, root.path, size, revisions)))
    return places
