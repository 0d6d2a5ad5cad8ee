"""Places: named locations for models, with a role and a limit, and which of them a name or a path means.

What is said of a place is in `settings`; here it is put beside what is on the disk now. A place whose drive is away is
*away*, not empty: it is known by the identity of its file system (`disk/identity`), so that an empty mount point in its
place is none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from hubfold.content import Role
from hubfold.disk.identity import Mounts, Placed, volume
from hubfold.disk.paths import existing, within
from hubfold.errors import HubfoldError, UsageError


class NoPlace(HubfoldError):
    """No place is called so, or none of those there are can be used."""


class PlaceAway(HubfoldError):
    """The drive of a place is not there."""


class Place(NamedTuple):
    """A location for models. `limit_bytes` is what it may hold, by allocated blocks as `du` counts; None: no limit."""

    #: What the user calls it; its role where he gave it no name and it is the primary one; else "".
    name: str
    #: The folder that holds the repositories: what ``cache_dir=`` takes.
    cache: str
    #: The folder above it that a program's variable may name instead (``HF_HOME``); None where there is none.
    base: str | None
    role: Role
    limit_bytes: int | None
    #: Where its path is named (see `settings`), or ``found``: it is the cache of the environment.
    source: str
    #: Its drive is not there, or another one is mounted in its place.
    away: bool
    backend: str = ""
    #: Whether programs find there what is downloaded into it: a cache, not a folder of copies.
    takes_models: bool = True
    #: The source of each setting: `path`, `name`, `role`, `limit`.
    sources: Mapping[str, str] = MappingProxyType({})

    @property
    def called(self) -> str:
        """Its name, else its path: for people."""
        return self.name or self.cache


def named(places: Sequence[Place], word: str) -> Place:
    """The place that `word` means: by its name, its role where one place only has that, or its path.

    Raises `NoPlace`, with the names there are, and `UsageError` where several have the role.
    """
    for place in places:
        if word == place.name:
            return place
    by_role = [place for place in places if word == place.role and place.takes_models]
    if len(by_role) == 1:
        return by_role[0]
    if by_role:
        names = ", ".join(place.called for place in by_role)
        raise UsageError(f"several places are {word}: {names}", "name one of them")
    if os.sep in word:
        path = os.path.realpath(os.path.expanduser(word))
        for place in places:
            if path in (place.cache, place.base):
                return place
    raise unknown(places, word)


def unknown(places: Iterable[Place], word: str) -> NoPlace:
    """The error for a name that no place has."""
    import difflib

    names = [place.name for place in places if place.name]
    near = difflib.get_close_matches(word, names)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `hubfold roots`"
    known = f"known are {', '.join(names)}; " if names and not near else ""
    return NoPlace(f"no place is called {word!r}", f"{known}{hint}")


def holding(places: Iterable[Place], path: str) -> Place | None:
    """The innermost place that `path` (free of symlinks) is in; None where it is in none."""
    around = [place for place in places if within(path, place.cache)]
    return max(around, key=lambda place: len(place.cache), default=None)


def in_order(places: Iterable[Place], first: Place | None = None) -> list[Place]:
    """Where models go, best first: `first`, then the primary place, then the others as they are named."""
    return sorted(
        # A cache that nobody named, beside a primary place that somebody did, is no place that models overflow to.
        (place for place in places if place.takes_models and (place.name or place.source != "found")),
        key=lambda place: (place != first, place.role is not Role.PRIMARY),
    )


def is_away(path: str, noted: Placed | None, mounts: Callable[[], Mounts]) -> bool:
    """Whether the file system on which a place was last seen is not where it was.

    A folder that was made anew on the same one is there, and one that was never seen has yet to be made.
    """
    if noted is None or not noted.at:
        return False
    there = os.path.isdir(path)
    # Where a folder above it is what is left, that is what tells which file system it would be made on.
    here = mounts().location(path if there else existing(path)).filesystem
    return not here or volume(here) != volume(noted.at.filesystem)


def check_there(place: Place) -> Place:
    """`place`. Raises `PlaceAway` where its drive is not there."""
    if place.away:
        raise PlaceAway(
            f"{place.called} ({place.cache}) is away: its drive is not there", "connect its drive"
        )
    return place
