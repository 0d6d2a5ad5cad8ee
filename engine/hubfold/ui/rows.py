"""What is shown, as rows: made of what the engine told, sorted and filtered. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hubfold import display

if TYPE_CHECKING:
    from hubfold.reports.pictures import Figures, PlaceFigures, RootFigures
    from hubfold.reports.scans import DupesReport, Remembered


class Kind(enum.Enum):
    """What a row is about."""

    ROOT = "root"
    MODEL = "model"
    PLACE = "place"
    FILE = "file"
    SET = "set"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is shown. Sizes are bytes, `on_disk` and `frees` by allocated blocks; None is not known (yet).

    `places`, `files` and `set` are what a mark on it means, as `Marks` has them.
    """

    kind: Kind
    key: str
    name: str
    size: int | None = None
    on_disk: int | None = None
    frees: int | None = None
    used: float | None = None
    place: str = ""
    note: str = ""
    root: str = ""
    places: frozenset[str] = frozenset()
    files: frozenset[tuple[str, str]] = frozenset()
    set: str = ""

    @property
    def can_be_marked(self) -> bool:
        return bool(self.places or self.files or self.set)


#: What rows can be sorted by, in the order of the columns: the title, and what of a row.
SORTS: Mapping[str, Callable[[Row], object]] = {
    "name": lambda row: row.name.lower(),
    "size": lambda row: row.size or 0,
    "on disk": lambda row: row.on_disk or 0,
    "frees": lambda row: row.frees or 0,
    "last use": lambda row: row.used or 0.0,
    "place": lambda row: (row.place, row.name.lower()),
}
#: These begin with what there is most of.
_LARGEST_FIRST = {"size", "on disk", "frees"}


@dataclass(frozen=True, slots=True)
class Order:
    """By what rows are sorted, and which way round."""

    by: str = "size"
    backwards: bool = False

    def next(self) -> Order:
        """By the next column."""
        names = list(SORTS)
        return Order(names[(names.index(self.by) + 1) % len(names)])

    def by_column(self, by: str) -> Order:
        """By this column; once more for the other way round."""
        return replace(self, backwards=not self.backwards) if by == self.by else Order(by)


def arranged(rows: Iterable[Row], order: Order, wanted: str = "") -> list[Row]:
    """Those that fit what a user typed, sorted; of equal ones the first by name comes first."""
    found = [row for row in rows if fits(row, wanted)]
    found.sort(key=lambda row: row.name.lower())
    down = (order.by in _LARGEST_FIRST) != order.backwards
    found.sort(key=SORTS[order.by], reverse=down)  # type: ignore[arg-type]
    return found


def fits(row: Row, wanted: str) -> bool:
    """Whether each word is in the row's name, place or note, in whatever case."""
    text = f"{row.name}\n{row.place}\n{row.note}".lower()
    return all(word in text for word in wanted.lower().split())


@dataclass(frozen=True)
class Shown:
    """The rows of a look at the disks: roots, models, where these lie, and their files."""

    roots: Sequence[Row] = ()
    models: Sequence[Row] = ()
    places: Mapping[str, Row] = field(default_factory=dict)
    by_root: Mapping[str, Sequence[str]] = field(default_factory=dict)
    by_model: Mapping[str, Sequence[str]] = field(default_factory=dict)
    figures: Mapping[str, PlaceFigures] = field(default_factory=dict)

    def in_root(self, root: str) -> list[Row]:
        """The models that lie in a root, each as it lies there."""
        return [self.places[path] for path in self.by_root.get(root, ())]

    def of_model(self, model: str) -> list[Row]:
        """Where a model lies: called by its root."""
        found = (self.places[path] for path in self.by_model.get(model, ()))
        return [replace(row, name=row.root, place=row.key) for row in found]

    def files(self, place: str) -> list[Row]:
        """The files of a model in one place."""
        one = self.figures.get(place)
        if one is None:
            return []
        return [
            Row(
                Kind.FILE,
                f"{place}\n{file.name}",
                file.name,
                size=file.bytes,
                on_disk=file.physical_bytes,
                place=file.path,
                note="cannot be opened"
                if not file.names
                else f"{file.names:,} names"
                if file.names > 1
                else "",
                root=one.root,
                files=frozenset({(place, file.name)}),
            )
            for file in one.files
        ]


def remembered(known: Remembered) -> Shown:
    """What the last scan saw, as rows; nothing of it can be marked before the disks were asked."""
    by_root: dict[str, list[str]] = {}
    by_model: dict[str, list[str]] = {}
    places: dict[str, Row] = {}
    for one in known.models:
        key = f"{one.root}\n{one.name}"
        by_root.setdefault(one.root, []).append(key)
        by_model.setdefault(one.name, []).append(key)
        places[key] = Row(
            Kind.PLACE,
            key,
            one.name,
            size=one.bytes,
            on_disk=one.physical_bytes,
            place=one.root,
            root=one.root,
        )
    roots = [
        Row(
            Kind.ROOT,
            one.path,
            one.path,
            size=one.bytes,
            on_disk=one.physical_bytes,
            place=one.backend,
            root=one.path,
        )
        for one in known.roots
    ]
    models = [
        Row(
            Kind.MODEL,
            name,
            name,
            size=max(places[key].size or 0 for key in keys),
            on_disk=sum(places[key].on_disk or 0 for key in keys),
            place=places[keys[0]].root if len(keys) == 1 else f"{len(keys)} places",
        )
        for name, keys in by_model.items()
    ]
    return Shown(roots, models, places, by_root, by_model)


def shown(figures: Figures, known: Iterable[Row] = ()) -> Shown:
    """A look at the disks as rows; of a root in which no model lies what the last scan saw (`known`)."""
    scanned = {row.key: row for row in known}
    by_root: dict[str, list[str]] = {}
    by_model: dict[str, list[str]] = {}
    for one in figures.places:
        by_root.setdefault(one.root, []).append(one.path)
        by_model.setdefault(one.name, []).append(one.path)
    there = frozenset(one.path for one in figures.places if not one.away)
    places = {one.path: _place(one, figures.pinned) for one in figures.places}
    roots = [
        Row(
            Kind.ROOT,
            root.path,
            root.path,
            size=(seen := _without_models(root, by_root, scanned)).size,
            on_disk=seen.on_disk,
            used=_latest(places[path].used for path in by_root.get(root.path, ())),
            place=root.backend,
            note="away" if root.away else root.role if root.role == "primary" else "",
            root=root.path,
            places=there.intersection(by_root.get(root.path, ())),
        )
        for root in figures.roots
    ]
    models = [
        Row(
            Kind.MODEL,
            model.id,
            model.id,
            size=model.bytes,
            on_disk=model.physical_bytes,
            used=_latest(places[path].used for path in by_model.get(model.id, ())),
            place=model.places[0].root if len(model.places) == 1 else f"{len(model.places)} places",
            note=_notes("" if model.state == "whole" else str(model.state), model.id in figures.pinned),
            places=there.intersection(by_model.get(model.id, ())),
        )
        for model in figures.models
    ]
    by_path = {one.path: one for one in figures.places}
    return Shown(roots, models, places, by_root, by_model, figures=by_path)


def _place(one: PlaceFigures, pinned: frozenset[str]) -> Row:
    return Row(
        Kind.PLACE,
        one.path,
        one.name,
        size=one.bytes,
        on_disk=one.physical_bytes,
        used=one.used,
        place=one.path,
        note=_notes("" if one.state == "whole" else one.state, one.name in pinned),
        root=one.root,
        places=frozenset() if one.away else frozenset({one.path}),
    )


def _without_models(
    root: RootFigures, by_root: Mapping[str, Sequence[str]], scanned: Mapping[str, Row]
) -> Row:
    if root.path in by_root or root.path not in scanned:
        return Row(Kind.ROOT, root.path, root.path, size=root.bytes, on_disk=root.physical_bytes)
    return scanned[root.path]


def _notes(state: str, pinned: bool) -> str:
    return ", ".join(filter(None, (state, "pinned" if pinned else "")))


def _latest(times: Iterable[float | None]) -> float | None:
    return max((when for when in times if when is not None), default=None)


def sets(report: DupesReport) -> list[Row]:
    """The duplicate sets, each called by the first of its files; what is on disk is all of them."""
    found = []
    for duplicates, reclaimable in report.sets:
        first = duplicates.replicas[0]
        models = dict.fromkeys(one.repo_id for one in duplicates.replicas if one.repo_id)
        on_disk = sum(same[0].allocated for same in duplicates.payloads.values())
        found.append(
            Row(
                Kind.SET,
                first.path,
                f"{', '.join(models)}: {_file_name(first.path)}" if models else first.path,
                size=duplicates.size,
                on_disk=on_disk,
                frees=reclaimable,
                place=f"{len(duplicates.replicas)} copies",
                set=first.path,
            )
        )
    return found


def copies(report: DupesReport, key: str) -> list[Row]:
    """The files of one set."""
    for duplicates, _ in report.sets:
        if duplicates.replicas[0].path == key:
            return [
                Row(
                    Kind.COPY,
                    one.path,
                    one.path,
                    size=one.signature.size,
                    on_disk=one.allocated,
                    place=one.root,
                    note=one.repo_id or "",
                    root=one.root,
                )
                for one in duplicates.replicas
            ]
    return []


def _file_name(path: str) -> str:
    name = path.rpartition("/")[2]
    # A name that is a hash says nothing: a few digits of it are enough to tell two sets apart.
    return name[:12] if len(name) >= 40 and "." not in name else name


def size(bytes_: int | None) -> str:
    return "" if bytes_ is None else display.size(bytes_)
