"""Parts of a root that lie elsewhere behind symlinks of its layout: a repository that was moved to a larger drive.

The root tells models and removals by paths through the link. What lies behind it has a root of its own (`Root.link`),
by whose real path it is scanned and changed, since nothing is ever changed through a symlink.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from hubfold.backend.boundary import GuardedBackend
from hubfold.content import VAULT_MARKER, Root
from hubfold.disk.paths import upwards, within


class Reached(NamedTuple):
    """A symlink, the folder that it leads to (free of symlinks), and the root whose layout it belongs to."""

    link: str
    folder: str
    owner: Root


def reached_from(roots: Iterable[Root], backends: Mapping[str, GuardedBackend]) -> list[Reached]:
    """What the layouts of `roots` reach by links, by the links' paths."""
    found = {}
    for root in roots:
        for link in (
            backends[root.backend].reached(root) if root.backend in backends and not root.link else ()
        ):
            folder = os.path.realpath(link)
            if _is_fit(link, folder, root):
                found[link] = Reached(link, folder, root)
    return [found[link] for link in sorted(found)]


def _is_fit(link: str, folder: str, root: Root) -> bool:
    """Whether a folder may count as a part of the root: not one that the root itself, or a vault's file, lies in."""
    if not within(link, root.path) or within(root.path, folder):
        return False
    if not os.path.islink(link) or not os.path.isdir(folder):
        return False
    return not any(os.path.lexists(os.path.join(above, VAULT_MARKER)) for above in upwards(folder))


def with_reached(roots: Sequence[Root], reached: Iterable[Reached]) -> list[Root]:
    """`roots`, and one for each folder that is reached and that no root of the same layout has already."""
    found = list(roots)
    for one in reached:
        at = next((at for at, root in enumerate(found) if root.path == one.folder), None)
        if at is not None:
            if not found[at].link:
                found[at] = replace(found[at], backend=one.owner.backend, link=one.link)
        elif not any(root.backend == one.owner.backend and within(one.folder, root.path) for root in found):
            found.append(Root(one.folder, one.owner.backend, link=one.link))
    return found


def links(reached: Iterable[Reached]) -> dict[str, str]:
    """The links with the folders that they lead to."""
    return {one.link: one.folder for one in reached}


def real(path: str, reached: Iterable[Reached]) -> str:
    """A path through such a link as the path of what lies there; any other as it is."""
    # A link may lie behind another: the longest says most.
    through = [one for one in reached if within(path, one.link)]
    one = max(through, key=lambda one: len(one.link), default=None)
    return path if one is None else one.folder + path[len(one.link) :]


def shown(path: str, owner: str, reached: Iterable[Reached]) -> str:
    """The inverse of `real`, for what the layout of the root `owner` reaches."""
    through = [one for one in reached if one.owner.path == owner and within(path, one.folder)]
    one = max(through, key=lambda one: len(one.folder), default=None)
    return path if one is None else one.link + path[len(one.folder) :]


def lock_paths(
    root: Root, path: str, reached: Iterable[Reached], backends: Mapping[str, GuardedBackend]
) -> Sequence[str]:
    """The locks of everybody who may replace a path, which is free of symlinks: clients lock by the path they know.

    Raises `BackendFault`.
    """
    return list(dict.fromkeys(_locks(root, path, list(reached), backends)))


def _locks(
    root: Root, path: str, reached: Sequence[Reached], backends: Mapping[str, GuardedBackend]
) -> Iterator[str]:
    through = [one for one in reached if within(path, one.folder)]
    if within(path, root.path) and all(one.folder != root.path for one in through):
        yield from backends[root.backend].lock_paths(root, path)
    for one in through:
        # The lock's own folder may lie behind a link as well.
        for lock in backends[one.owner.backend].lock_paths(one.owner, one.link + path[len(one.folder) :]):
            yield real(lock, reached)
