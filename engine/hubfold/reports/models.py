"""What the engine tells about models: plain data, each with the JSON form that scripts rely on.

Sizes are bytes by length, but where `physical` or `freed` says otherwise: those are by allocated blocks. Times are
seconds since the epoch, as the file system has them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from hubfold.content import Partial, Role
from hubfold.json_form import NULLABLE, PATHS, SPREAD, UNTOLD, Json, JsonForm, told
from hubfold.models.patterns import Selections, ask_for_texts, may_be_weights, wanted
from hubfold.reports.outcomes import Notice
from hubfold.reports.places import PlaceUse
from hubfold.reports.scans import Unreferenced


class Wholeness(enum.StrEnum):
    """How much of a model, or of one revision, is there."""

    WHOLE = "whole"
    INCOMPLETE = "incomplete"
    #: A file leads nowhere or is not as long as it should be: no program that needs it can use it.
    BROKEN = "broken"
    #: Its drive is away; this is what the last scan saw.
    OFFLINE = "offline"
    #: What is there is sound, and nothing says whether more of it should be.
    UNKNOWN = "unknown"


class Judged(enum.StrEnum):
    """What a revision was held against to know whether it is whole."""

    #: The layout's own list of its files.
    LISTING = "listing"
    #: Names of shards, in ``*.index.json`` files and in the shards' own names.
    SHARDS = "shards"
    #: Nothing says what it should hold: it has files, all can be opened, and no download is open.
    FILES = "files"


@dataclass(frozen=True, slots=True)
class MissingFile(JsonForm):
    """A file that a revision should have and has not. `name` is empty where only its download is known."""

    name: str
    #: How long it should be, None where nothing says so.
    bytes: int | None
    #: What an interrupted download has of it.
    partial_bytes: int = field(default=0, kw_only=True)
    reason: str
    #: Its name is there, and what it gives is not the file.
    damaged: bool = field(default=False, metadata=UNTOLD)
    #: It is there and this user may not read it, or its drive does not give it.
    unreadable: bool = field(default=False, metadata=UNTOLD)
    #: What is missing are the weights of the model, whatever they are called.
    weights: bool = field(default=False, metadata=UNTOLD)
    #: Nothing says whether it should be there.
    unsure: bool = field(default=False, metadata=UNTOLD)


def state_of(missing: Iterable[MissingFile]) -> Wholeness:
    """What a revision is that lacks this."""
    state = Wholeness.WHOLE
    for file in missing:
        if file.damaged or file.unreadable:
            return Wholeness.BROKEN
        if not file.unsure:
            state = Wholeness.INCOMPLETE
        elif state is Wholeness.WHOLE:
            state = Wholeness.UNKNOWN
    return state


def _of_weights(file: MissingFile) -> bool:
    return file.weights or may_be_weights(file.name)


@dataclass(frozen=True, slots=True)
class ModelFile(JsonForm):
    """One file of a revision: its name in the repo, what a program opens, and its bytes (None: cannot be opened)."""

    name: str
    path: str
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Revision(JsonForm):
    """One revision of a model in one place. `bytes` counts a file with two names once."""

    revision: str = field(metadata=NULLABLE)
    refs: tuple[str, ...]
    path: str
    state: Wholeness
    judged: Judged = field(metadata=told("judged_by"))
    bytes: int = field(metadata=told("size_bytes", after=("file_count",)))
    missing: tuple[MissingFile, ...] = field(default=(), metadata=told(after=("missing_bytes",)))
    partials: tuple[Partial, ...] = field(default=(), metadata=UNTOLD)
    #: What the listing of this revision adds up to, None where there is none.
    expected_bytes: int | None = field(default=None, metadata=UNTOLD)
    last_modified: float | None = None
    #: What was asked for, where that leaves out files that are not there: it is whole with less.
    selected: Selections = field(default=(), metadata=told(optional=True))
    files: tuple[ModelFile, ...] = field(kw_only=True, metadata=told(with_files=True))
    #: The same held against all there is, where `selected` says what it is held against.
    unselected: Revision | None = field(default=None, metadata=UNTOLD)
    #: It is of a model, and none of its weights is there.
    weightless: bool = field(default=False, metadata=UNTOLD)
    #: Its files lie in `path` among those of other models.
    among_others: bool = field(default=False, metadata=UNTOLD)

    def only(self, selections: Selections) -> Revision:
        """The same, held against what was asked for instead of all there is.

        A damaged file counts all the same, patterns that fit no file at all do not count, and a model without weights
        is not whole unless the patterns name nothing else.
        """
        full = self.unselected or self
        names = [*(file.name for file in full.files), *(file.name for file in full.missing if file.name)]
        nothing = not selections or not any(wanted(selections, name) for name in names)
        if full.state is Wholeness.OFFLINE or nothing:
            return full
        missing = tuple(file for file in full.missing if full._asked(file, selections))
        if missing == full.missing:
            return full
        if full.weightless and not ask_for_texts(selections) and not any(map(_of_weights, missing)):
            reason = "has no weights, and what was asked for is more than texts"
            missing += (MissingFile("", None, reason, weights=True),)
        left_out = sum(file.bytes or 0 for file in full.missing if file not in missing)
        return replace(
            full,
            state=state_of(missing),
            missing=missing,
            expected_bytes=None if full.expected_bytes is None else full.expected_bytes - left_out,
            selected=selections,
            unselected=full,
        )

    def _asked(self, file: MissingFile, selections: Selections) -> bool:
        if file.damaged or file.unreadable:
            return True
        if file.name:
            return wanted(selections, file.name)
        if file.weights:
            return not ask_for_texts(selections)
        # Without a name it is an open download, or that there is nothing at all.
        return file.partial_bytes > 0 or not self.files

    @property
    def file_count(self) -> int:
        return len(self.files)

    @property
    def missing_bytes(self) -> int | None:
        """What has to be fetched to make it whole; None where that is not known of some file."""
        sizes = [file.bytes for file in self.missing]
        return None if None in sizes else sum(size for size in sizes if size is not None)


@dataclass(frozen=True, slots=True)
class ModelPlace(JsonForm):
    """A model in one root. `bytes` is what its files amount to there, `path` the folder with all its revisions."""

    root: str
    backend: str
    role: Role
    #: The root is a cache that programs fetch from.
    cache: bool = field(metadata=UNTOLD)
    path: str
    bytes: int = field(metadata=told("size_bytes"))
    revisions: tuple[Revision, ...]

    @property
    def default(self) -> Revision:
        """The revision that a program gets which asks for none: ``main``, else another named one, else the newest."""
        return min(
            self.revisions,
            key=lambda one: ("main" not in one.refs, not one.refs, -(one.last_modified or 0), one.revision),
        )

    @property
    def whole(self) -> bool:
        """Whether a program that asks for no revision finds all of it here."""
        return self.default.state is Wholeness.WHOLE


@dataclass(frozen=True, slots=True)
class Model(JsonForm):
    """One model, dataset, space or kernel, wherever it lies. `places` are in the order in which they are preferred,
    those where it is whole before the others."""

    #: Empty for a copy of which nothing says what it is; its `id` is its path then.
    repo_id: str = field(metadata=told(value=lambda text: text or None, before=("id",)))
    repo_type: str = field(metadata=told(after=("state", "cached")))
    #: One copy of it: the largest of its places.
    bytes: int = field(metadata=told("size_bytes"))
    #: Its share of the disks: a payload that several models use counts in equal parts.
    physical_bytes: int
    #: What `hubfold rm` of its id would free now; None where that was not asked.
    freed_bytes: int | None = field(default=None, kw_only=True, metadata=told(after=("refs",)))
    last_accessed: float | None = field(default=None, kw_only=True)
    last_modified: float | None = field(default=None, kw_only=True)
    places: tuple[ModelPlace, ...]

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
        return any(place.whole for place in self.places)

    @property
    def state(self) -> Wholeness:
        """Broken if any revision anywhere is, so that nothing broken hides behind something whole."""
        states = {revision.state for revision in self.revisions}
        if Wholeness.BROKEN in states:
            return Wholeness.BROKEN
        if self.cached:
            return Wholeness.WHOLE
        if states == {Wholeness.OFFLINE}:
            return Wholeness.OFFLINE
        sound = states <= {Wholeness.OFFLINE, Wholeness.WHOLE, Wholeness.UNKNOWN}
        return Wholeness.UNKNOWN if sound and Wholeness.UNKNOWN in states else Wholeness.INCOMPLETE


@dataclass(frozen=True, slots=True)
class ModelsReport(JsonForm):
    """The models asked for. `rows` has each of them once, or with each of its revisions if those were asked for."""

    rows: tuple[tuple[Model, Revision | None], ...] = field(
        metadata=told("models", lambda rows: [_Row.of(*row) for row in rows])
    )
    #: Of the models in `rows`, every payload once.
    physical_bytes: int
    warnings: tuple[Notice, ...] = ()
    #: What no model refers to; of all models only.
    unreferenced: tuple[Unreferenced, ...] = field(default=(), metadata=told(optional=True))
    #: What the rows are filtered and sorted by.
    by: frozenset[str] = field(default=frozenset(), metadata=UNTOLD)

    @property
    def models(self) -> tuple[Model, ...]:
        return tuple({model.id: model for model, _ in self.rows}.values())


@dataclass(frozen=True, slots=True)
class _Row(JsonForm):
    """A revision as a row of its own."""

    id: str
    repo_id: str = field(metadata=NULLABLE)
    repo_type: str
    revision: Revision = field(metadata=SPREAD)

    @classmethod
    def of(cls, model: Model, revision: Revision | None) -> _Row | Model:
        return model if revision is None else cls(model.id, model.repo_id, model.repo_type, revision)


@dataclass(frozen=True, slots=True)
class CheckedModel(JsonForm):
    """A model that the user counts on. `status` is cached, incomplete, missing, or unknown: nothing says whether what
    is there is all."""

    name: str
    id: str
    #: What was asked for, None for whatever a program gets by default.
    revision: str | None
    status: str
    path: str | None = None
    root: str | None = None
    bytes: int = field(default=0, metadata=told("size_bytes"))
    #: What it should take: by its listing, else as the configuration says; None where nobody knows.
    expected_bytes: int | None = None
    missing: tuple[MissingFile, ...] = ()
    missing_bytes: int | None = None
    #: What could not be read, and may be it or hold it.
    unreadable: tuple[str, ...] = field(default=(), metadata=UNTOLD)
    #: Names that are near to one that nothing is known of.
    near: tuple[str, ...] = ()
    #: Where all of it is, if that is not where it counts.
    elsewhere: str | None = field(default=None, kw_only=True)
    #: Other copies of its files, and what folding them would free.
    copies: tuple[str, ...] = field(default=(), metadata=PATHS)
    reclaimable_bytes: int = 0
    #: What the place is called that it is registered at, and whether its drive is away.
    place: str = field(default="", kw_only=True, metadata=told(optional=True))
    away: bool = field(default=False, kw_only=True, metadata=told(optional=True))


@dataclass(frozen=True, slots=True)
class Recommendation(JsonForm):
    """What to do next; `kind` is download, resume, broken, elsewhere, placed, unreadable, unwritable, connect,
    duplicate, reserve, space or limit."""

    kind: str
    message: str
    command: str = ""
    model: str | None = None


@dataclass(frozen=True, slots=True)
class UnconfiguredModel(JsonForm):
    """A model of the cache that ``config.toml`` does not name."""

    id: str
    bytes: int = field(metadata=told("size_bytes"))
    state: Wholeness


@dataclass(frozen=True, slots=True)
class CheckReport(JsonForm):
    """The models that the user counts on, and the cache that programs load them from and that downloads go to. What is
    said of the cache is None where no layout has one."""

    models: tuple[CheckedModel, ...] = field(metadata=told(after=("whole",)))
    cache: str | None
    free_bytes: int | None
    #: Bytes that config.toml wants to stay free.
    reserve_bytes: int | None = None
    #: What models and begun downloads take in the cache, by allocated blocks.
    disk_bytes: int | None = None
    there: bool | None = None
    #: Whether this user may; of a cache that is not there yet, whether he may make it.
    readable: bool | None = None
    writable: bool | None = None
    #: Every root counted, not the cache alone.
    anywhere: bool = True
    #: Where the configured models were checked: what else the cache has.
    unconfigured: tuple[UnconfiguredModel, ...] = ()
    #: The places that have a limit or a name of the user's, with what they hold.
    places: tuple[PlaceUse, ...] = field(default=(), metadata=told(optional=True))
    recommendations: tuple[Recommendation, ...] = ()
    warnings: tuple[Notice, ...] = ()
    #: Caches that programs load from besides.
    besides: tuple[str, ...] = field(default=(), metadata=UNTOLD)

    @property
    def whole(self) -> bool:
        return all(model.status == "cached" for model in self.models)


def _rounded(rate: float | None) -> int | None:
    return None if rate is None else round(rate)


@dataclass(frozen=True, slots=True)
class Download(JsonForm):
    """One download that is not at its end. `rate` in bytes per second since the look before, None at the first look."""

    path: str
    model: str
    name: str | None
    bytes: int
    expected_bytes: int | None = field(metadata=told(after=("running",)))
    rate: float | None = field(default=None, metadata=told("bytes_per_second", _rounded))

    @property
    def running(self) -> bool | None:
        """Whether it has grown since the look before; None at the first look."""
        return None if self.rate is None else self.rate > 0


@dataclass(frozen=True, slots=True)
class Disk(JsonForm):
    """One file system with roots on it."""

    mount: str
    total_bytes: int
    free_bytes: int
    #: Change of the free space in bytes per second since the look before: negative while it fills up.
    rate: float | None = field(default=None, kw_only=True, metadata=told("free_bytes_per_second", _rounded))
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Look(JsonForm):
    """What `watch` shows: models, downloads and space at one moment. `at` is monotonic, in seconds."""

    at: float = field(metadata=UNTOLD)
    models: tuple[Model, ...] = field(metadata=told(value=lambda models: [_in_brief(one) for one in models]))
    downloads: tuple[Download, ...]
    disks: tuple[Disk, ...]
    #: Models and downloads together, every payload once, by allocated blocks.
    physical_bytes: int
    #: Growth of that in bytes per second since the look before.
    rate: float | None = field(default=None, metadata=told("bytes_per_second", _rounded))
    warnings: tuple[Notice, ...] = ()


def _in_brief(model: Model) -> Json:
    return {
        "id": model.id,
        "state": model.state,
        "cached": model.cached,
        "size_bytes": model.bytes,
        "physical_bytes": model.physical_bytes,
    }
