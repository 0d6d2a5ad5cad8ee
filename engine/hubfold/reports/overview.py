"""Where the space goes, in one document: places, models, files, duplicates, and what is away or broken."""

from __future__ import annotations

from dataclasses import dataclass, field

from hubfold.json_form import Json, JsonForm, told
from hubfold.reports.models import Model
from hubfold.reports.outcomes import Notice
from hubfold.reports.scans import DupesReport, Space, StatusRoot, Unreferenced


@dataclass(frozen=True, slots=True)
class MappedFile(JsonForm):
    """A file with content: what it takes by allocated blocks, and whether other files have the same bytes."""

    name: str
    bytes: int
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class MappedModel(JsonForm):
    """What a place holds of one model, largest first; `id` is "" for files of no model."""

    id: str
    bytes: int
    files: tuple[MappedFile, ...]


@dataclass(frozen=True, slots=True)
class MappedPlace(JsonForm):
    """What lies in one root, each payload where it was met first; `models` largest first."""

    path: str
    backend: str
    bytes: int
    models: tuple[MappedModel, ...]


@dataclass(frozen=True, slots=True)
class Overview(JsonForm):
    """What `hubfold report` tells. `made_at` is in seconds since the epoch."""

    made_at: float
    host: str
    space: Space
    #: What the plan of `hubfold consolidate` would reclaim, in bytes by allocated blocks.
    reclaimable_bytes: int
    roots: tuple[StatusRoot, ...]
    models: tuple[Model, ...] = field(metadata=told(value=lambda models: [_in_brief(one) for one in models]))
    #: The sets that cost most; `set_count` says how many there are.
    duplicates: DupesReport = field(metadata=told(value=lambda found: found.as_json()["sets"]))
    set_count: int
    unreferenced: tuple[Unreferenced, ...] = ()
    map: tuple[MappedPlace, ...] = ()
    warnings: tuple[Notice, ...] = ()

    @property
    def away(self) -> tuple[StatusRoot, ...]:
        """The roots whose drive is not there, or that this user cannot look into."""
        return tuple(root for root in self.roots if root.away or root.error)


def _in_brief(model: Model) -> Json:
    return {
        "id": model.id,
        "state": str(model.state),
        "size_bytes": model.bytes,
        "physical_bytes": model.physical_bytes,
        "freed_bytes": model.freed_bytes,
        "last_accessed": model.last_accessed,
        "last_modified": model.last_modified,
        "places": [
            {"root": place.root, "path": place.path, "state": str(place.default.state)}
            for place in model.places
        ],
    }
