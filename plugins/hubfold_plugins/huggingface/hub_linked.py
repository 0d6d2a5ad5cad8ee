"""Parts of a repository that lie elsewhere: which symlinks belong to the layout, and what they make of a path."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold_plugins.huggingface.claims import claims_of_etag
from hubfold_plugins.huggingface.hub_metadata import COMMIT

if TYPE_CHECKING:
    from hubfold.backend.contract import Walk

_PARTS = frozenset({"blobs", "refs", "snapshots"})
_REPOSITORIES = ("models--", "datasets--", "spaces--", "kernels--")


def linked_parts(repository: str) -> Iterator[str]:
    """The links in the place of the repository, its ``blobs/`` or its ``snapshots/``, where what is there is one."""
    if peek.link_text(repository) is not None:
        if not _is_repository(peek.names_in(repository)):
            return
        yield repository
    for part, is_one in (("blobs", _is_blobs), ("snapshots", _is_snapshots)):
        path = os.path.join(repository, part)
        if peek.link_text(path) is not None and is_one(peek.names_in(path)):
            yield path


def _is_repository(names: Collection[str]) -> bool:
    """A cache has ``blobs`` as well (the shared store), and repositories beside it."""
    return not _PARTS.isdisjoint(names) and not any(name.startswith(_REPOSITORIES) for name in names)


def _is_blobs(names: Collection[str]) -> bool:
    """One without any is what a removal that was cut short has left."""
    return not names or any(map(claims_of_etag, names))


def _is_snapshots(names: Collection[str]) -> bool:
    return not names or any(map(COMMIT.fullmatch, names))


def own_blob(repository: str, link: str, text: str, walk: Walk) -> str | None:
    """The path in the repository's ``blobs/`` that a snapshot's link leads to, as the system takes it, or None."""
    folder, etag = os.path.split(text)
    if etag in ("", ".", ".."):
        return None
    blobs = os.path.join(repository, "blobs")
    # Which folder ``..`` is depends on where the link's own folder really is.
    real = walk.real(os.path.join(walk.real(os.path.join(os.path.dirname(link), ".")), folder, etag))
    return os.path.join(blobs, etag) if real == walk.real(os.path.join(blobs, etag)) else None


def shares_its_blobs(repository: str, walk: Walk) -> bool:
    """Whether another repository of the cache has the same folder for its ``blobs/``."""
    folder = walk.leads_to(os.path.join(repository, "blobs"))
    cache = os.path.dirname(repository)
    others = (os.path.join(cache, name, "blobs") for name in peek.names_in(cache)) if folder else ()
    return any(
        os.path.dirname(path) != repository
        and walk.real(os.path.join(path, "x")) == os.path.join(folder or "", "x")
        for path in others
    )
