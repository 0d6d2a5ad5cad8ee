"""What the engine tells about models: plain data, each with the JSON form that scripts rely on.

Sizes are bytes by length, but where `physical` or `freed` says otherwise: those are by allocated blocks. Times are
seconds since the epoch, as the file system has them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from hubfold.content import Partial, Role
from hubfold.models.patterns import Selections, wanted
from hubfold.reports.runs import Json, Notice


class Wholeness(enum.StrEnum):
    """How much of a model, or of one revision, is there."""

    WHOLE = "whole"
    INCOMPLETE = "incomplete"
    #: A file leads nowhere or is not as long as it should be: no program that needs it can use it.
    BROKEN = "broken"
    #: Its drive is away; this is what the last scan saw.
    OFFLINE = "offline"


class Judged(enum.StrEnum):
    """What a revision was held against to know whether it is whole."""

    #: The layout's own list of its files.
    LISTING = "listing"
    #: Names of shards, in ``*.index.json`` files and in the shards' own names.
    SHARDS = "shards"
    #: Nothing says what it should hold: it has files, all can be opened, and no download is open.
    FILES = "files"


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A file that a revision should have and has not. `name` is empty where only its download is known."""

    name: str
    #: How long it should be, None where nothing says so.
    bytes: int | None
    reason: str
    #: What an interrupted download has of it.
    partial_bytes: int = 0
    #: Its name is there, and what it gives is not the file.
    damaged: bool = False

    def as_json(self) -> Json:
        return {
            "name": self.name,
            "bytes": self.bytes,
            "partial_bytes": self.partial_bytes,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a revision: its name in the repo, what a program opens, and its bytes (None: cannot be opened)."""

    name: str
    path: str
    bytes: int | None

    def as_json(self) -> Json:
        return {"name": self.name, "path": self.path, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a model in one place. `bytes` counts a file with two names once."""

    revision: str
    refs: tuple[str, ...]
    path: str
    state: Wholeness
    judged: Judged
    bytes: int
    files: tuple[ModelFile, ...]
    missing: tuple[MissingFile, ...] = ()
    partials: tuple[Partial, ...] = ()
    #: What the listing of this revision adds up to, None where there is none.
    expected_bytes: int | None = None
    last_modified: float | None = None
    #: What was asked for, where that leaves out files that are not there: it is whole with less.
    selected: Selections = ()
    #: The same held against all there is, where `selected` says what it is held against.
    unselected: Revision | None = None

    def only(self, selections: Selections) -> Revision:
        """The same, held against what was asked for instead of all there is.

        A damaged file counts all the same, and patterns that fit no file at all do not count.
        """
        full = self.unselected or self
        names = [*(file.name for file in full.files), *(file.name for file in full.missing if file.name)]
        if full.state is Wholeness.OFFLINE or not any(wanted(selections, name) for name in names):
            return full
        missing = tuple(file for file in full.missing if file.damaged or full._asked(file, selections))
        if missing == full.missing:
            return full
        damaged = any(file.damaged for file in missing)
        left_out = sum(file.bytes or 0 for file in full.missing if file not in missing)
        return replace(
            full,
            state=Wholeness.BROKEN if damaged else Wholeness.INCOMPLETE if missing else Wholeness.WHOLE,
            missing=missing,
            expected_bytes=None if full.expected_bytes is None else full.expected_bytes - left_out,
            selected=selections,
            unselected=full,
        )

    def _asked(self, file: MissingFile, selections: Selections) -> bool:
        if file.name:
            return wanted(selections, file.name)
        # Without a name it is an open download, or that there is nothing at all, or that there are no weights.
        return file.partial_bytes > 0 or not self.files

    @property
    def missing_bytes(self) -> int | None:
        """What has to be fetched to make it whole; None where that is not known of some file."""
        sizes = [file.bytes for file in self.missing]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def as_json(self, *, files: bool = False) -> Json:
        report: Json = {
            "revision": self.revision or None,
            "refs": list(self.refs),
            "path": self.path,
            "state": str(self.state),
            "judged_by": str(self.judged),
            "size_bytes": self.bytes,
            "file_count": len(self.files),
            "missing": [file.as_json() for file in self.missing],
            "missing_bytes": self.missing_bytes,
            "last_modified": self.last_modified,
        }
        if self.selected:
            report["selected"] = [selection.as_json() for selection in self.selected]
        if files:
            report["files"] = [file.as_json() for file in self.files]
        return report


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """A model in one root. `bytes` is what its files amount to there, `path` the folder with all its revisions."""

    root: str
    backend: str
    role: Role
    #: The root is a cache that programs fetch from.
    cache: bool
    path: str
    bytes: int
    revisions: tuple[Revision, ...]

    @property
    def default(self) -> Revision:
        """The revision that a program gets which asks for none: ``main``, else another named one, else the newest."""
        return min(
            self.revisions,
            key=lambda one: ("main" not in one.refs, not one.refs, -(one.last_modified or 0), one.revision),
        )

    def as_json(self, *, files: bool = False) -> Json:
        return {
            "root": self.root,
            "backend": self.backend,
            "role": str(self.role),
            "path": self.path,
            "size_bytes": self.bytes,
            "revisions": [revision.as_json(files=files) for revision in self.revisions],
        }


@dataclass(frozen=True, slots=True)
class Model:
    """One model, dataset, space or kernel, wherever it lies. `places` are in the order in which they are preferred."""

    repo_type: str
    #: Empty for a copy of which nothing says what it is; its `id` is its path then.
    repo_id: str
    #: One copy of it: the largest of its places.
    bytes: int
    #: Its share of the disks: a payload that several models use counts in equal parts.
    physical_bytes: int
    places: tuple[ModelPlace, ...]
    last_accessed: float | None = None
    last_modified: float | None = None
    #: What `hubfold rm` of its id would free now; None where that was not asked.
    freed_bytes: int | None = None

    @property
    def id(self) -> str:
        """The name that commands take: ``org/name``, for others than models ``datasets/org/name``; a path for a copy
        of which nothing says what it is."""
        if not self.repo_id:
            return self.places[0].path
        return self.repo_id if self.repo_type == "model" else f"{self.repo_type}s/{self.repo_id}"

    @property
    def revisions(self) -> tuple[Revision, ...]:
        return tuple(revision for place in self.places for revision in place.revisions)

    @property
    def refs(self) -> tuple[str, ...]:
        return tuple(sorted({ref for revision in self.revisions for ref in revision.refs}))

    @property
    def cached(self) -> bool:
        """Whether a program that asks for it without a revision finds all of it somewhere."""
        return any(place.default.state is Wholeness.WHOLE for place in self.places)

    @property
    def state(self) -> Wholeness:
        """Broken if any revision anywhere is, so that nothing broken hides behind something whole."""
        states = {revision.state for revision in self.revisions}
        if Wholeness.BROKEN in states:
            return Wholeness.BROKEN
        if self.cached:
            return Wholeness.WHOLE
        return Wholeness.OFFLINE if states == {Wholeness.OFFLINE} else Wholeness.INCOMPLETE

    def as_json(self, *, files: bool = False) -> Json:
        return {
            "id": self.id,
            "repo_id": self.repo_id or None,
            "repo_type": self.repo_type,
            "state": str(self.state),
            "cached": self.cached,
            "size_bytes": self.bytes,
            "physical_bytes": self.physical_bytes,
            "freed_bytes": self.freed_bytes,
            "refs": list(self.refs),
            "last_accessed": self.last_accessed,
            "last_modified": self.last_modified,
            "places": [place.as_json(files=files) for place in self.places],
        }


@dataclass(frozen=True, slots=True)
class ModelsReport:
    """The models asked for. `rows` has each of them once, or with each of its revisions if those were asked for."""

    rows: tuple[tuple[Model, Revision | None], ...]
    #: Of the models in `rows`, every payload once.
    physical_bytes: int
    warnings: tuple[Notice, ...] = ()

    @property
    def models(self) -> tuple[Model, ...]:
        return tuple({model.id: model for model, _ in self.rows}.values())

    def as_json(self, *, files: bool = False) -> Json:
        """``{"models": […]}``; with revisions as rows each is ``{"id", "repo_id", "repo_type", …}`` of a revision."""
        return {
            "models": [
                model.as_json(files=files)
                if revision is None
                else {
                    "id": model.id,
                    "repo_id": model.repo_id or None,
                    "repo_type": model.repo_type,
                    **revision.as_json(files=files),
                }
                for model, revision in self.rows
            ],
            "physical_bytes": self.physical_bytes,
            "warnings": [warning.as_json() for warning in self.warnings],
        }


@dataclass(frozen=True, slots=True)
class CheckedModel:
    """A model that the user counts on. `status` is cached, incomplete or missing."""

    name: str
    id: str
    #: What was asked for, None for whatever a program gets by default.
    revision: str | None
    status: str
    path: str | None = None
    root: str | None = None
    bytes: int = 0
    #: What it should take: by its listing, else as the configuration says; None where nobody knows.
    expected_bytes: int | None = None
    missing: tuple[MissingFile, ...] = ()
    missing_bytes: int | None = None
    #: Names that are near to one that nothing is known of.
    near: tuple[str, ...] = ()
    #: Other copies of its files, and what folding them would free.
    copies: tuple[str, ...] = ()
    reclaimable_bytes: int = 0

    def as_json(self) -> Json:
        return {
            "name": self.name,
            "id": self.id,
            "revision": self.revision,
            "status": self.status,
            "path": self.path,
            "root": self.root,
            "size_bytes": self.bytes,
            "expected_bytes": self.expected_bytes,
            "missing": [file.as_json() for file in self.missing],
            "missing_bytes": self.missing_bytes,
            "near": list(self.near),
            "copies": [{"path": path} for path in self.copies],
            "reclaimable_bytes": self.reclaimable_bytes,
        }


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do next; `kind` is download, resume, broken, connect, duplicate or space."""

    kind: str
    message: str
    command: str = ""
    model: str | None = None

    def as_json(self) -> Json:
        return {"kind": self.kind, "message": self.message, "command": self.command, "model": self.model}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The models that the user counts on, and the disk that the missing ones would go to."""

    models: tuple[CheckedModel, ...]
    cache: str | None
    free_bytes: int | None
    recommendations: tuple[Recommendation, ...] = ()
    warnings: tuple[Notice, ...] = ()

    @property
    def whole(self) -> bool:
        return all(model.status == "cached" for model in self.models)

    def as_json(self) -> Json:
        return {
            "models": [model.as_json() for model in self.models],
            "whole": self.whole,
            "cache": self.cache,
            "free_bytes": self.free_bytes,
            "recommendations": [recommendation.as_json() for recommendation in self.recommendations],
            "warnings": [warning.as_json() for warning in self.warnings],
        }


@dataclass(frozen=True, slots=True)
class Download:
    """One download that is not at its end. `rate` in bytes per second since the look before, None at the first look."""

    path: str
    model: str
    name: str | None
    bytes: int
    expected_bytes: int | None
    rate: float | None = None

    def as_json(self) -> Json:
        return {
            "path": self.path,
            "model": self.model,
            "name": self.name,
            "bytes": self.bytes,
            "expected_bytes": self.expected_bytes,
            "running": None if self.rate is None else self.rate > 0,
            "bytes_per_second": None if self.rate is None else round(self.rate),
        }


@dataclass(frozen=True, slots=True)
class Disk:
    """One file system with roots on it."""

    mount: str
    total_bytes: int
    free_bytes: int
    roots: tuple[str, ...]
    #: Change of the free space in bytes per second since the look before: negative while it fills up.
    rate: float | None = None

    def as_json(self) -> Json:
        return {
            "mount": self.mount,
            "total_bytes": self.total_bytes,
            "free_bytes": self.free_bytes,
            "free_bytes_per_second": None if self.rate is None else round(self.rate),
            "roots": list(self.roots),
        }


@dataclass(frozen=True, slots=True)
class Look:
    """What `watch` shows: models, downloads and space at one moment. `at` is monotonic, in seconds."""

    at: float
    models: tuple[Model, ...]
    downloads: tuple[Download, ...]
    disks: tuple[Disk, ...]
    #: Models and downloads together, every payload once, by allocated blocks.
    physical_bytes: int
    #: Growth of that in bytes per second since the look before.
    rate: float | None = None
    warnings: tuple[Notice, ...] = ()

    def as_json(self) -> Json:
        return {
            "models": [
                {
                    "id": model.id,
                    "state": str(model.state),
                    "cached": model.cached,
                    "size_bytes": model.bytes,
                    "physical_bytes": model.physical_bytes,
                }
                for model in self.models
            ],
            "downloads": [download.as_json() for download in self.downloads],
            "disks": [disk.as_json() for disk in self.disks],
            "physical_bytes": self.physical_bytes,
            "bytes_per_second": None if self.rate is None else round(self.rate),
            "warnings": [warning.as_json() for warning in self.warnings],
        }
