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


@dataclass(frozen=True, slots=True)
class BalancedPlace(JsonForm):
    """A place with a limit, in bytes as `du` counts: what it holds, and by how much it is over its limit in the end."""

    name: str
    path: str
    limit: int = field(metadata=told("limit_bytes"))
    used: int = field(metadata=told("used_bytes"))
    over: int = field(metadata=told("over_bytes"))


@dataclass(frozen=True, slots=True)
class BalancedModel(JsonForm):
    """A model that left a place which was over its limit. `used`: when it was used last, in seconds since the epoch."""

    name: str
    source: str = field(metadata=told("from"))
    target: str = field(metadata=told("to"))
    run: str | None
    used: int = field(metadata=told("last_used"))
    #: The command that noted it, or what else tells.
    known_by: str
    freed: int = field(metadata=told("freed_bytes"))


@dataclass(frozen=True, slots=True)
class BalanceReport(JsonForm):
    """Places brought under their limits, or as a preview what would be; what stands in the way is in `left`."""

    places: tuple[BalancedPlace, ...]
    models: tuple[BalancedModel, ...]
    left: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()
    interrupted: bool = field(default=False, metadata=UNTOLD)


@dataclass(frozen=True, slots=True)
class PinReport(JsonForm):
    """The models that stay where they are."""

    pinned: tuple[str, ...]
