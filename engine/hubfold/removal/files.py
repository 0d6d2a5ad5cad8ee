"""Single files of models in caches: the name that programs open goes first, then the content that only it led to.

Which content that is, links tell: what a layout would remove of the whole model (`Removal.inside` with `content` and
`payloads`) is cut down to what the names that stay do not lead to. The layout is asked once more under its locks right
before content goes (`still_needed`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice

from hubfold.backend.changes import Removal
from hubfold.disk.paths import hops
from hubfold.errors import HubfoldError
from hubfold.library.inventory import HeldRevision, Holdings, resolve
from hubfold.models.names import ModelName, Name
from hubfold.removal.needs import Names
from hubfold.removal.plan import RemovePlan, hold_against_needs
from hubfold.reports.outcomes import Left

#: What sort of thing goes.
FILES = "files of"
#: Symlinks in a row that are followed: a snapshot's, a blob's, and one to spare.
_HOPS = 3


def fit(holdings: Holdings, asked: ModelName, words: Sequence[str]) -> bool:
    """Whether `words` are files of the model (or patterns of some), and none of them is the name of a model."""
    name = asked.among(holdings.by_name)
    if name is None or not words:
        return False
    known = {file.name for held in holdings.by_name[name] for file in held.snapshot.files}
    models = {str(one).lower() for one in holdings.by_name}
    return all(
        word.lower() not in models and any(fnmatchcase(file, word) for file in known) for word in words
    )


def plan(
    holdings: Holdings, asked: ModelName, words: Sequence[str], *, only: Collection[str], names: Names
) -> RemovePlan:
    """The plan for the files that fit `words`, in every cache (or those of `only`).

    A file stays where a link elsewhere leads to it or to its revision. Raises `HubfoldError` where nothing is to go.
    """
    name = asked.among(holdings.by_name)
    assert name is not None
    left: list[Left] = []
    held = [one for one in holdings.by_name[name] if not only or one.root.path in only]
    commits = resolve(held, asked.revision) if asked.revision is not None else None
    chosen: dict[str, list[str]] = {}
    going = [one for one in held if commits is None or one.snapshot.revision in commits]
    for one in going:
        also = next((h for h in _shown_by(holdings, one) if h not in going), None)
        if also is None:
            chosen.setdefault(one.root.path, []).extend(_chosen(holdings, one, words, left))
        else:
            left.append(Left(one.snapshot.path, f"{also.name} of {also.root.path} shows it too"))
    removals = [
        removal
        for root, paths in chosen.items()
        if paths
        for removal in _removals(holdings, root, name, set(paths), left)
    ]
    if not removals:
        stays = f"; it stays at {left[0].path}: {left[0].reason}" if left else ""
        raise HubfoldError(
            f"no cache holds such a file of {name}{stays}", "see `hubfold ls --files` for what is there"
        )
    return hold_against_needs(holdings, removals, left, with_links=False, names=names, only=only)


def _shown_by(holdings: Holdings, held: HeldRevision) -> Iterator[HeldRevision]:
    """The revisions in the same folder: links of a layout can show one under several names, in several roots."""
    place = holdings.lies_at(held)
    return (one for one in holdings.held() if one is not held and holdings.lies_at(one) == place)


def _chosen(holdings: Holdings, held: HeldRevision, words: Sequence[str], left: list[Left]) -> Iterator[str]:
    """The paths of one revision that fit and that nothing elsewhere leads to; the others are `left`."""
    paths = [file.path for file in held.snapshot.files if any(fnmatchcase(file.name, word) for word in words)]
    if not paths:
        return
    if not holdings.is_cache(held.root):
        left.append(Left(held.snapshot.path, "a local copy; name its folder to remove all of it"))
        return
    reading = holdings.links.into(holdings.lies_at(held))
    if reading:
        link, _ = reading[0]
        left += [Left(path, f"{link} needs this revision") for path in paths]
        return
    yield from paths


def _removals(
    holdings: Holdings, root: str, name: Name, paths: set[str], left: list[Left]
) -> Iterator[Removal]:
    known = holdings.root_at(root)
    assert known is not None
    real = {holdings.real(path, root) for path in paths}
    told: set[str] = set()
    with holdings.leaving_out(known):
        for whole in holdings.removals(known, name):
            going = tuple(path for path in whole.inside if path in real)
            told.update(going)
            if going:
                yield _cut_down(whole, going)
    left += [Left(path, "its layout does not say how to remove a file") for path in sorted(real - told)]


def _cut_down(whole: Removal, going: tuple[str, ...]) -> Removal:
    """Of the removal of a model what only the names `going` lead to."""
    stay = _reached_from(path for path in whole.inside if path not in going)
    found = _reached_from(going)
    content = tuple(path for path in whole.content if path in found and path not in stay)
    behind = _reached_from(path for path in whole.content if path not in content)
    return Removal(
        whole.root,
        whole.backend,
        whole.repo_id,
        whole.repo_type,
        kind=FILES,
        records=going,
        content=content,
        payloads=tuple(one for one in whole.payloads if one.path in found and one.path not in stay | behind),
    )


def _reached_from(paths: Iterable[str]) -> set[str]:
    """Everything that symlinks lead through from `paths`, hop by hop, as `disk/paths.plain` has it."""
    found: set[str] = set()
    for path in paths:
        for here in islice(hops(path), _HOPS):
            found |= {here, os.path.realpath(here)}
    return found
