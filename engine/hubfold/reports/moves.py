"""What moving models did."""

from __future__ import annotations

from dataclasses import dataclass, field

from hubfold.json_form import PATHS, UNTOLD, JsonForm, told
from hubfold.reports.outcomes import Failed, Left


@dataclass(frozen=True, slots=True)
class MovedModel(JsonForm):
    """One model that left `source`: `run` takes it back (None in a preview). Bytes by length, but `freed` by blocks."""

    name: str
    source: str = field(metadata=told("from"))
    run: str | None
    revisions: tuple[str, ...]
    bytes: int
    copied: int = field(metadata=told("copied_bytes"))
    freed: int = field(metadata=told("freed_bytes"))
    #: The paths that are links to the copy.
    links: tuple[str, ...] = field(metadata=PATHS)


@dataclass(frozen=True, slots=True)
class MoveReport(JsonForm):
    """Models moved to `target`, or as a preview what would be; those that stay are in `left`, with the reason."""

    target: str = field(metadata=told("to"))
    models: tuple[MovedModel, ...]
    copied: int = field(metadata=told("copied_bytes"))
    freed: int = field(metadata=told("freed_bytes"))
    left: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()
    interrupted: bool = field(default=False, metadata=UNTOLD)
