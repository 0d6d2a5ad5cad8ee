"""What a user looks at to choose from, and what he marked there: added up together, and planned."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hubfold.content import Marks, Root
from hubfold.engine.balancing import Balancing
from hubfold.engine.models import Models
from hubfold.engine.moving import Moving
from hubfold.engine.planning import Planning
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.errors import UsageError
from hubfold.folding.plan import Plan
from hubfold.library.inventory import HeldRevision, Holdings
from hubfold.moving.plan import MovePlan
from hubfold.removal import marked
from hubfold.removal.plan import RemovePlan
from hubfold.reports.models import Model, ModelPlace, Wholeness
from hubfold.reports.pictures import (
    Figures,
    FileFigures,
    Joint,
    PlaceFigures,
    RootFigures,
)


@dataclass(frozen=True)
class Picture:
    """The models as the disks had them at one look, kept so that what is marked of them is added up at once."""

    figures: Figures
    holdings: Holdings


@dataclass(slots=True)
class _Taken:
    """Files, each once."""

    length: int = 0
    physical: int = 0
    known: set[tuple[int, int]] = field(default_factory=set)

    def add(self, st: os.stat_result) -> None:
        if (st.st_dev, st.st_ino) not in self.known:
            self.known.add((st.st_dev, st.st_ino))
            self.length += st.st_size
            self.physical += st.st_blocks * 512


class Marking:
    """Shows what there is, and plans what is marked of it."""

    def __init__(
        self,
        workspace: Workspace,
        models: Models,
        planning: Planning,
        moving: Moving,
        *,
        balancing: Balancing,
    ) -> None:
        self._workspace = workspace
        self._models = models
        self._planning = planning
        self._moving = moving
        self._balancing = balancing

    def picture(self) -> Picture:
        """See `Engine.picture`."""
        holdings = self._workspace.holdings(
            self._workspace.discover(), progress=self._workspace.progress, stop=self._workspace.stop
        )
        library = self._models.gathered(holdings)
        roots: dict[str, _Taken] = {}
        places = tuple(
            self._place(holdings, model, place, roots) for model in library.models for place in model.places
        )
        with_primary = self._workspace.with_primary((*holdings.usable, *holdings.away))
        away = {root.path for root in holdings.away}
        figures = Figures(
            places=places,
            roots=tuple(_root(root, roots.get(root.path), root.path in away) for root in with_primary),
            models=library.models,
            pinned=frozenset(self._balancing.pins().pinned),
            physical_bytes=library.physical_bytes,
            warnings=library.warnings,
        )
        return Picture(figures, holdings)

    def _place(
        self, holdings: Holdings, model: Model, place: ModelPlace, roots: dict[str, _Taken]
    ) -> PlaceFigures:
        here, files = _Taken(), {}
        for file in (one for revision in place.revisions for one in revision.files):
            st = _stat(file.path)
            if st is not None:
                here.add(st)
                roots.setdefault(place.root, _Taken()).add(st)
            if file.name not in files:
                files[file.name] = _file(file.name, file.path, st)
        held = holdings.by_home.get(place.path, ())
        return PlaceFigures(
            name=model.id,
            root=place.root,
            path=place.path,
            cache=place.cache,
            state=str(place.default.state),
            bytes=place.bytes,
            physical_bytes=here.physical,
            used=self._balancing.last_use(model.id, held).at or None if held else model.last_accessed,
            files=tuple(files[name] for name in sorted(files)),
            away=place.default.state is Wholeness.OFFLINE,
        )

    def frees(self, picture: Picture, each: Mapping[str, Marks]) -> dict[str, int]:
        """See `Engine.frees`."""
        found = {}
        for name, marks in each.items():
            self._workspace.stop.check()
            found[name] = marked.freed(picture.holdings, marks, names=self._workspace.names_of)
        return found

    def joint_removal(self, picture: Picture, marks: Marks) -> Joint:
        """See `Engine.joint_removal`."""
        plan = marked.plan(picture.holdings, marks, names=self._workspace.names_of)
        return Joint(plan.bytes, Counter(one.reason for one in plan.left))

    def joint_fold(self, picture: Picture, marks: Marks, min_size: int) -> Joint:
        """See `Engine.joint_fold`."""
        plan = self._fold(picture.holdings, marks, min_size)
        return Joint(plan.bytes, Counter(one.reason for one in plan.skipped))

    def plan_fold(self, marks: Marks, min_size: int) -> Plan:
        """See `Engine.plan_fold`."""
        return self._fold(self._looked_at() if marks.places or marks.files else None, marks, min_size)

    def _fold(self, holdings: Holdings | None, marks: Marks, min_size: int) -> Plan:
        if not self._workspace.has_index:
            return Plan()
        payloads = dict(_payloads(holdings, marks)) if holdings is not None else {}
        return self._planning.plan_marked(marks, payloads, min_size)

    def plan_removal(self, marks: Marks) -> RemovePlan:
        """See `Engine.plan_removal`."""
        return marked.plan(self._looked_at(), marks, names=self._workspace.names_of)

    def plan_move(self, marks: Marks, to: StrPath) -> MovePlan:
        """See `Engine.plan_move_of`."""
        holdings = self._looked_at()
        held = [one for folder in sorted(marks.places) for one in holdings.by_home.get(folder, ())[:1]]
        held = [one for one in held if one.name.repo_id and one.root.path not in marks.stays]
        roots = list(dict.fromkeys(one.root.path for one in held))
        if not held:
            raise UsageError("nothing that is marked can be moved", "mark models of a cache")
        if len(roots) > 1:
            raise UsageError(
                f"what is marked lies in {len(roots)} places, and one move leaves one",
                f"mark what lies in {roots[0]}",
            )
        names = list(dict.fromkeys(str(one.name) for one in held))
        return self._moving.plan(names, to, source=roots[0])

    def _looked_at(self) -> Holdings:
        return self._workspace.holdings_at(())


def _payloads(holdings: Holdings, marks: Marks) -> Iterator[tuple[tuple[int, int], int]]:
    """What marked models and files read, (device, inode) with its bytes."""
    wanted: dict[str, set[str]] = {}
    for folder, name in marks.files:
        wanted.setdefault(folder, set()).add(name)
    for folder in marks.places | wanted.keys():
        for path in _paths(
            holdings.by_home.get(folder, ()), None if folder in marks.places else wanted[folder]
        ):
            if (st := _stat(path)) is not None:
                yield (st.st_dev, st.st_ino), st.st_size


def _paths(held: Iterable[HeldRevision], names: set[str] | None) -> Iterator[str]:
    for one in held:
        for file in one.snapshot.files:
            if names is None or file.name in names:
                yield file.path


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _root(root: Root, taken: _Taken | None, away: bool) -> RootFigures:
    known = taken or _Taken()
    return RootFigures(
        path=root.path,
        backend=root.backend,
        role=str(root.role),
        bytes=known.length,
        physical_bytes=known.physical,
        away=away,
    )


def _file(name: str, path: str, st: os.stat_result | None) -> FileFigures:
    if st is None:
        return FileFigures(name, path, 0, 0, 0)
    return FileFigures(name, path, st.st_size, st.st_blocks * 512, st.st_nlink)
