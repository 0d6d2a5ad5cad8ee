"""The models of all roots as they lie on the disks now: what `inventory` found, joined by payload.

The disks are asked, not the index, so that what is said of space and of completeness is true; the index only answers
for roots whose drive is away.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from hubfold.content import IndexedReplica, Root, Snapshot
from hubfold.disk.paths import within
from hubfold.errors import HubfoldError
from hubfold.library.contents import Computed, Contents
from hubfold.library.inventory import Holdings
from hubfold.library.places import Joined
from hubfold.models.names import Name, stands_for
from hubfold.models.patterns import Selections
from hubfold.progress import Progress, Silent
from hubfold.reports.models import Judged, Model, ModelPlace, Revision, Wholeness
from hubfold.reports.outcomes import Notice

if TYPE_CHECKING:
    from hubfold.models.names import ModelName

#: Asks the index for the replicas of a root that cannot be walked.
Remembered = Callable[[str], Iterable[IndexedReplica]]


@dataclass(frozen=True)
class Library:
    """The models, by their `Model.id`; roots in the order in which their places are preferred."""

    models: tuple[Model, ...]
    roots: tuple[Root, ...]
    #: Every payload of every model once, and the downloads that are not at their end, by allocated blocks.
    physical_bytes: int = 0
    warnings: tuple[Notice, ...] = ()
    #: By model: what its own payloads take, every one counted whole.
    payloads: Mapping[str, Mapping[object, int]] = field(default_factory=dict)
    #: Folders and files that could not be read: a model may lie there.
    unreadable: tuple[str, ...] = ()

    def find(self, wanted: ModelName) -> Model | None:
        """The model of this name; where several types have it, the model comes first."""
        name = wanted.among(self._by_name)
        return None if name is None else self._by_name[name]

    @cached_property
    def _by_name(self) -> Mapping[Name, Model]:
        return {Name(model.repo_type, model.repo_id): model for model in self.models if model.repo_id}

    def at(self, folder: str | None) -> Model | None:
        """The model of which a place is this folder."""
        return next((model for model in self.models for one in model.places if one.path == folder), None)

    def in_root(self, path: str) -> Library:
        """What one root has, with what lies behind links of its layout; sums over several roots stay as they are."""
        roots = tuple(root for root in self.roots if root.path == path or within(root.link, path))
        kept = ((model, [one for one in model.places if one.root == path]) for model in self.models)
        return replace(
            self,
            models=tuple(replace(model, places=tuple(places)) for model, places in kept if places),
            roots=roots,
            unreadable=tuple(one for one in self.unreadable if any(within(one, root.path) for root in roots)),
        )

    def candidates(self, model: Model, wanted: ModelName) -> list[tuple[ModelPlace, Revision]]:
        """Where a program may find a model: of each place the revision it would get, the preferred place first.

        Each is held against the files that `wanted` asks for, where it asks for some of them only.
        """
        asked, selection = wanted.revision, wanted.selection
        found = [
            (place, one)
            for place in model.places
            for one in (place.revisions if asked is not None else (place.default,))
            if asked is None or stands_for(asked, one.revision, one.refs)
        ]
        return [(place, one.only((selection,)) if selection else one) for place, one in found]


def gather(
    holdings: Holdings,
    *,
    rank: Callable[[Iterable[Root]], list[Root]] = list,
    remembered: Remembered | None = None,
    selected: Callable[[Name, str], Selections] = lambda name, revision: (),
    computed: Computed | None = None,
    progress: Progress | None = None,
) -> Library:
    """Put together what the roots hold.

    `rank` puts roots in the order of preference, `selected` tells what was asked for of a revision, `computed` what was
    read of a payload (None: nothing ever was), `progress` is told of each revision that is judged. A backend that
    fails or a root that cannot be read is a warning. Raises `Interrupted`.
    """
    progress = progress or Silent()
    ordered = rank(holdings.roots)
    found: dict[str, list[Snapshot]] = defaultdict(list)
    for held in holdings.held():
        found[held.root.path].append(held.snapshot)
    told = _Told([snapshot for root in ordered for snapshot in found[root.path]])
    completed = [(root, told.completed(snapshot)) for root in ordered for snapshot in found[root.path]]
    joined = Joined(Contents.of((snapshot for _, snapshot in completed), computed, holdings.unreadable))
    progress.start("judging what is there", len(completed), "revisions")
    for root, whole in completed:
        asked = selected(Name(whole.repo_type, whole.repo_id), whole.revision)
        joined.add(root, holdings.is_cache(root), whole, asked)
        progress.advance(1)
    progress.finish()
    offline = []
    for root in holdings.away:
        if remembered is not None:
            with suppress(HubfoldError):
                offline += _remembered(root, remembered(root.path))
    models, taken, total = joined.models(offline)
    return Library(
        models=tuple(models),
        roots=tuple(ordered),
        physical_bytes=total,
        warnings=holdings.warnings,
        payloads=taken,
        unreadable=holdings.unreadable,
    )


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
        """The revision whose payloads the links of a farm lead to; empty where there is none."""
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


def _remembered(root: Root, replicas: Iterable[IndexedReplica]) -> list[tuple[tuple[str, str], ModelPlace]]:
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
                revision=revision,
                refs=(),
                path=root.path,
                state=Wholeness.OFFLINE,
                judged=Judged.FILES,
                bytes=sum(by_revision[revision].values()),
                files=(),
            )
            for revision in sorted(by_revision)
        )
        size = sum({payload: n for found in by_revision.values() for payload, n in found.items()}.values())
        places.append(
            (
                name,
                ModelPlace(
                    root=root.path,
                    backend=root.backend,
                    role=root.role,
                    cache=False,
                    path=root.path,
                    bytes=size,
                    revisions=revisions,
                ),
            )
        )
    return places
