"""What a view shows of what is there to choose from, and what doing something with the choice would free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hubfold.reports.models import Model
from hubfold.reports.outcomes import Notice


@dataclass(frozen=True, slots=True)
class FileFigures:
    """One file of a model where it lies. `name` is its name in the repository, `path` what a program opens.

    `bytes` by length, `physical_bytes` by allocated blocks; both 0 for one that cannot be opened. `names` is how many
    names its content has on its file system.
    """

    name: str
    path: str
    bytes: int
    physical_bytes: int
    names: int


@dataclass(frozen=True, slots=True)
class PlaceFigures:
    """A model in one place. `physical_bytes` is all that it reads there, each file once, whoever else reads it.

    `used` is when the model was used last, in seconds since the epoch; None where nobody knows.
    """

    name: str
    root: str
    path: str
    #: Programs fetch from the root.
    cache: bool
    state: str
    bytes: int
    physical_bytes: int
    used: float | None
    files: tuple[FileFigures, ...] = ()
    away: bool = False


@dataclass(frozen=True, slots=True)
class RootFigures:
    """A root with what its models take there together, in bytes by allocated blocks, each file once."""

    path: str
    backend: str
    role: str
    bytes: int
    physical_bytes: int
    away: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """The models as they lie on the disks, place by place."""

    places: tuple[PlaceFigures, ...] = ()
    roots: tuple[RootFigures, ...] = ()
    models: tuple[Model, ...] = ()
    pinned: frozenset[str] = frozenset()
    #: Every file of every model once.
    physical_bytes: int = 0
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Joint:
    """What doing something with all that is marked would free together, in bytes by allocated blocks.

    What several of them share counts once, and what something else needs not at all.
    """

    bytes: int = 0
    #: Why something of it would stay, by how many.
    stays: Mapping[str, int] = field(default_factory=dict)
