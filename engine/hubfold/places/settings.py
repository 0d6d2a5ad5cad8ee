"""Where places are named, and what counts where several sources name one.

From the strongest to the weakest: `hubfold roots add` (``added``), the ``hubfold.toml`` of the project
(``project``), the ``.env`` beside it (``.env``), ``config.toml`` (``config``), the environment (``environment``). Each
setting of a place is that of the strongest source that has it, so that a project may move a place whose limit is the
user's own.

The project is the nearest folder upwards from the current one that has a ``hubfold.toml`` or a ``.env``. What belongs
to another user is passed over: it would say where this user's models go.

Variables (in both the environment and ``.env``)::

    PRIMARY_CACHE_PATH        the folder of the cache, or the one above it
    PRIMARY_CACHE_LIMIT_GB    how much it may hold: a number of GB, or a size with a unit
    SECONDARY_CACHE_PATH      SECONDARY_CACHE_LIMIT_GB
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from hubfold.content import Role
from hubfold.disk.paths import upwards
from hubfold.display import parse_size
from hubfold.errors import UsageError
from hubfold.state import config
from hubfold.state.config import ConfigError
from hubfold.state.home import KnownRoot

ADDED, PROJECT, DOTENV, CONFIG, ENVIRONMENT = "added", "project", ".env", "config", "environment"
#: The files by which a folder is a project's.
PROJECT_FILE, DOTENV_FILE = "hubfold.toml", ".env"
_GB = 10**9


class Said(NamedTuple):
    """What one source says: roots, the strongest first, and limits (bytes) of places that it may not name a path of."""

    source: str
    roots: tuple[KnownRoot, ...] = ()
    limits: Mapping[str, int] = MappingProxyType({})


class Setting(NamedTuple):
    """One root as all sources together have it, with the source of each setting: `path`, `name`, `role`, `limit`."""

    root: KnownRoot
    sources: Mapping[str, str]

    @property
    def source(self) -> str:
        return self.sources["path"]


class Settled(NamedTuple):
    """The roots of all sources, the strongest first, and the limit (bytes) with its source of a primary place that
    nobody gave a path."""

    settings: tuple[Setting, ...]
    primary_limit: tuple[int, str] | None = None


class Project(NamedTuple):
    """The folder of the project that somebody works in, and what its files say."""

    folder: str
    said: tuple[Said, ...] = ()
    config: config.Config = config.Config()
    warnings: tuple[str, ...] = ()


# -- reading


def project_at(folder: str) -> Project | None:
    """The project that `folder` lies in; None where it lies in none. Raises `ConfigError`."""
    for above in upwards(os.path.abspath(folder)):
        files = [os.path.join(above, name) for name in (PROJECT_FILE, DOTENV_FILE)]
        if any(os.path.isfile(path) for path in files):
            return _project(above, *files)
    return None


def _project(folder: str, toml: str, dotenv: str) -> Project:
    warnings: list[str] = []
    said: list[Said] = []
    configured = config.Config()
    if _is_ours(toml, warnings):
        configured = config.load(toml, project=True)
        warnings += configured.warnings
        said.append(Said(PROJECT, configured.roots))
    if _is_ours(dotenv, warnings):
        said.append(from_variables(_dotenv(dotenv), DOTENV, folder))
    return Project(folder, tuple(said), configured, tuple(warnings))


def _is_ours(path: str, warnings: list[str]) -> bool:
    """Whether a file is there and may say where models go: it is this user's, or root's."""
    try:
        owner = os.stat(path).st_uid
    except OSError:
        return False
    if owner in (0, os.geteuid()):
        return True
    warnings.append(f"{path} belongs to another user: it is passed over")
    return False


def _dotenv(path: str) -> Mapping[str, str | None]:
    from dotenv import dotenv_values

    try:
        return dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "mend it, or its permissions") from error


def from_variables(variables: Mapping[str, str | None], source: str, folder: str) -> Said:
    """What the four variables say; relative paths count from `folder`. Raises `ConfigError` for a bad limit."""
    roots: list[KnownRoot] = []
    limits: dict[str, int] = {}
    for role in Role:
        path = (variables.get(f"{role.upper()}_CACHE_PATH") or "").strip()
        if path:
            full = os.path.normpath(os.path.join(folder, os.path.expanduser(path)))
            roots.append(KnownRoot(full, role=role, name=str(role)))
        named = f"{role.upper()}_CACHE_LIMIT_GB"
        limit = (variables.get(named) or "").strip()
        if limit:
            limits[str(role)] = _limit(limit, named, source)
    return Said(source, tuple(roots), limits)


def _limit(text: str, name: str, source: str) -> int:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    try:
        found = round(number * _GB) if 0 <= number < float("inf") else parse_size(text)
    except UsageError as error:
        where = f" of the {source} file" if source == DOTENV else ""
        raise ConfigError(f"{name}{where} is {text!r}, no size", "write a number of GB, like 100") from error
    return found


# -- putting together


@dataclass(slots=True)
class _Draft:
    root: KnownRoot
    sources: dict[str, str]
    #: Which source gave the limit, by its strength (0 is the strongest); None where none has yet.
    limit_rank: int | None = None


def settle(said: Sequence[Said], real: Callable[[KnownRoot], str]) -> Settled:
    """Put together what sources say, the strongest first; `real` is the one path by which a root is known.

    A name, and the role of the primary place, are those of the strongest that wants them; whoever else does stays a
    secondary root without a name of its own.
    """
    drafts: dict[str, _Draft] = {}
    names: dict[str, _Draft] = {}
    for rank, one in enumerate(said):
        for root in one.roots:
            draft = drafts.setdefault(real(root), _Draft(_bare(root), {"path": one.source}))
            if draft.root.backend is None and root.backend is not None:
                draft.root = draft.root._replace(backend=root.backend)
            _name(draft, root, names, one.source)
            if root.limit is not None and draft.limit_rank is None:
                _limited(draft, root.limit, one.source, rank)
    unplaced = None
    for rank, one in enumerate(said):
        for name, limit in one.limits.items():
            named = names.get(name)
            if named is None and name == Role.PRIMARY and unplaced is None:
                unplaced = limit, one.source
            elif named is not None and (named.limit_rank is None or rank < named.limit_rank):
                _limited(named, limit, one.source, rank)
    settings = tuple(Setting(draft.root, draft.sources) for draft in drafts.values())
    return Settled(settings, unplaced)


def _bare(root: KnownRoot) -> KnownRoot:
    return root._replace(role=Role.SECONDARY, limit=None, name="")


def _name(draft: _Draft, root: KnownRoot, names: dict[str, _Draft], source: str) -> None:
    """Give a root its name and role, as far as no stronger source has given them. The primary place is known by that
    word whatever else it is called."""
    primary = root.role is Role.PRIMARY or root.name == Role.PRIMARY
    name = root.name or (str(Role.PRIMARY) if primary else "")
    if not name or "role" in draft.sources:
        return
    if primary and Role.PRIMARY in names:
        if name == Role.PRIMARY:
            return
        primary = False
    if primary:
        names[str(Role.PRIMARY)] = draft
    if names.setdefault(name, draft) is draft:
        draft.sources["name"] = source
        draft.root = draft.root._replace(name=name)
    draft.sources["role"] = source
    draft.root = draft.root._replace(role=Role.PRIMARY if primary else Role.SECONDARY)


def _limited(draft: _Draft, limit: int, source: str, rank: int) -> None:
    draft.root = draft.root._replace(limit=limit)
    draft.sources["limit"] = source
    draft.limit_rank = rank


def by_strength(
    added: Sequence[KnownRoot], project: Project | None, configured: Sequence[KnownRoot], variables: Said
) -> Iterator[Said]:
    """What all sources say, the strongest first."""
    yield Said(ADDED, tuple(added))
    yield from project.said if project is not None else ()
    yield Said(CONFIG, tuple(configured))
    yield variables
