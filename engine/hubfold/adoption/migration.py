"""A whole cache put into another: every revision of it, each content once, every byte verified.

The parts of a revision are what its layout says (`StorageBackend.parts`), as for a backup; content that names a digest
(a part of stage 0) has to have it. Where the other cache has a revision already only what it lacks is added, so what an
interrupted migration made is gone on with. A ref that names another commit there gets the newer one, by the times at
which they were written; where that is the one there, it stays, and is told.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hubfold.adoption.plan import TakePlan, how_to_give
from hubfold.adoption.renewing import Renewal, text_of
from hubfold.adoption.sources import Reader, Source
from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.changes import ModelPart, PartPlace
from hubfold.content import Root
from hubfold.disk.filesystem import FileSystems
from hubfold.errors import HubfoldError
from hubfold.faults import BackendFault
from hubfold.library.inventory import HeldRevision, Holdings
from hubfold.models.names import Name
from hubfold.reports.outcomes import Failed, Left
from hubfold.reports.transfers import BackedUpModel, MigrateReport
from hubfold.transfer.archive import BackedUp, Part, unfit
from hubfold.transfer.restore import RestorePlan, is_note

_NO_FILE = "it has no file that could go: `hubfold clean` removes what is left of it"
_STAYS = "it is another one there, and stays"


@dataclass(frozen=True, slots=True)
class MigratePlan(TakePlan):
    """Everything of `old` that would come into the root of the plan."""

    old: Root = field(kw_only=True)
    #: Revisions that cannot go, and why.
    refused: tuple[Failed, ...] = field(default=(), kw_only=True)


def plan(holdings: Holdings, old: Root, new: Root, reader: Reader) -> MigratePlan:
    """What of `old` the cache `new`, of the same layout, lacks. Reads every file once. Raises `Interrupted`."""
    made = _Planner(holdings.backends, new)
    for held in holdings.held():
        if held.root.path == old.path and not (held.snapshot.repo_id and held.snapshot.files):
            made.left.append(Left(_title(held), _NO_FILE))
        elif held.root.path == old.path:
            try:
                made.add(held, holdings.parts(held), reader)
            except (HubfoldError, BackendFault) as error:
                made.refused.append(Failed(_title(held), str(error)))
    filesystems = FileSystems()
    how = {
        sha256: how_to_give(source, new, filesystems, apart=sha256 in made.notes)
        for sha256, source in made.sources.items()
    }
    restore = RestorePlan(new, tuple(made.models), made.places)
    return MigratePlan(
        restore,
        made.sources,
        {},
        how,
        left=tuple(made.left),
        renewals=tuple(made.renewals),
        old=old,
        refused=tuple(made.refused),
    )


@dataclass(slots=True)
class _Planner:
    """Adds up the revisions of a cache for another one."""

    backends: Mapping[str, GuardedBackend]
    new: Root
    models: list[BackedUp] = field(default_factory=list)
    places: dict[str, PartPlace] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    #: By sha256: what clients write over in its place, which is never one file with another.
    notes: set[str] = field(default_factory=set)
    left: list[Left] = field(default_factory=list)
    renewals: list[Renewal] = field(default_factory=list)
    refused: list[Failed] = field(default_factory=list)

    def add(self, held: HeldRevision, parts: Sequence[ModelPart], reader: Reader) -> None:
        """Add one revision. Raises `HubfoldError` for one that cannot go as it is."""
        snapshot = held.snapshot
        if snapshot.broken:
            raise HubfoldError("a file of it leads nowhere: `hubfold doctor --fix` looks for its content")
        read = reader.read(part.source for part in parts if part.text is None)
        places = {part.name: self._place(part.name) for part in parts}
        for part in parts:
            if part.text is None and places[part.name].stage == 0:
                self._check(held, part, read[part.source])
        going = [part for part in parts if not self._stays(part, places[part.name], read, held)]
        model = BackedUp(
            self.new.backend,
            snapshot.repo_type,
            snapshot.repo_id,
            snapshot.revision,
            tuple(_part(part, read) for part in going),
        )
        if reason := unfit(model, self.backends):
            raise HubfoldError(reason)
        self.notes |= {
            part.sha256 for part in model.parts if part.link is None and is_note(places[part.name])
        }
        self.models.append(model)
        self.places |= places
        self.sources |= {one.digests["sha256"]: one for one in read.values()}

    def _place(self, name: str) -> PartPlace:
        place = self.backends[self.new.backend].place(name)
        if place is None:
            raise HubfoldError(f"{name!r} is no part of a {self.new.backend}")
        return place

    def _check(self, held: HeldRevision, part: ModelPart, source: Source) -> None:
        """Raise `HubfoldError` for content that is not what its name says."""
        backend, wanted = self.backends[self.new.backend], os.path.join(self.new.path, part.name)
        repo_type, repo_id = held.snapshot.repo_type, held.snapshot.repo_id
        paths = (
            backend.content_path(self.new, repo_type, repo_id, {name: value})
            for name, value in source.digests.items()
        )
        if wanted not in paths:
            raise HubfoldError(f"{source.path} is corrupt: its bytes are not what its name says")

    def _stays(
        self, part: ModelPart, place: PartPlace, read: Mapping[str, Source], held: HeldRevision
    ) -> bool:
        """Whether a note of the layout is there already and says something else: a ref, a listing."""
        path = os.path.join(self.new.path, part.name)
        if part.text is not None or not is_note(place) or not os.path.isfile(path):
            return False
        source = read[part.source].real
        there, here = text_of(path), text_of(source)
        if there is not None and there == here:
            return False
        was, came = os.stat(path).st_mtime_ns, os.stat(source).st_mtime_ns
        # Of a ref: what it says is the commit itself.
        if there is not None and here is not None and was < came and here.strip() == held.snapshot.revision:
            of = str(held.name), held.snapshot.revision
            self.renewals.append(Renewal(path, there, here, came, of))
        else:
            self.left.append(Left(path, f"{_STAYS}: load {_title(held)} by its commit"))
        return True


def _part(part: ModelPart, read: Mapping[str, Source]) -> Part:
    if part.text is not None:
        return Part(part.name, link=part.text)
    source = read[part.source]
    return Part(part.name, source.digests["sha256"], source.size, max(source.signature.mtime_ns, 0))


def _title(held: HeldRevision) -> str:
    name = str(held.name) if held.snapshot.repo_id else held.snapshot.path
    return f"{name}@{held.snapshot.revision[:12]}" if held.snapshot.revision else name


def told(model: BackedUp) -> BackedUpModel:
    """A revision as a report has it."""
    sizes = {part.sha256: part.size for part in model.parts if part.link is None}
    files = sum(part.link is not None for part in model.parts) or len(sizes)
    name = str(Name(model.repo_type, model.repo_id))
    return BackedUpModel(name, model.revision, files, sum(sizes.values()))


def preview(planned: MigratePlan, how: str) -> MigrateReport:
    """A plan in the form of a report, with no run."""
    return MigrateReport(
        old=planned.old.path,
        new=planned.root.path,
        how=how,
        run=None,
        models=tuple(map(told, planned.restore.models)),
        made=planned.made,
        reused=planned.reused,
        renewed=tuple(one.path for one in planned.renewals),
        written=planned.copied_bytes,
        left=planned.left,
        failed=planned.refused,
    )
